/** The tables of Drizzle's getting-started, and what they are in SQL. */
import { relations, sql } from "drizzle-orm";
import { blob, index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

export const users = sqliteTable("users", {
  id: integer("id").primaryKey({ autoIncrement: true }),
  name: text("name").notNull(),
  age: integer("age").notNull(),
  email: text("email").notNull().unique(),
  isActive: integer("is_active", { mode: "boolean" }).notNull().default(true),
  createdAt: integer("created_at", { mode: "timestamp" }).notNull().default(sql`(unixepoch())`),
  settings: text("settings", { mode: "json" }).$type<{ theme: string }>(),
  avatar: blob("avatar", { mode: "buffer" }),
  points: blob("points", { mode: "bigint" }),
});

export const posts = sqliteTable(
  "posts",
  {
    id: integer("id").primaryKey(),
    title: text("title").notNull(),
    authorId: integer("author_id")
      .notNull()
      .references(() => users.id, { onDelete: "cascade" }),
  },
  (table) => [index("posts_author").on(table.authorId)],
);

export const usersRelations = relations(users, ({ many }) => ({ posts: many(posts) }));
export const postsRelations = relations(posts, ({ one }) => ({
  author: one(users, { fields: [posts.authorId], references: [users.id] }),
}));

export const schema = { users, posts, usersRelations, postsRelations };

/** As `drizzle-kit generate` writes it. */
export const CREATE_TABLES = [
  `CREATE TABLE \`users\` (
	\`id\` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	\`name\` text NOT NULL,
	\`age\` integer NOT NULL,
	\`email\` text NOT NULL,
	\`is_active\` integer DEFAULT true NOT NULL,
	\`created_at\` integer DEFAULT (unixepoch()) NOT NULL,
	\`settings\` text,
	\`avatar\` blob,
	\`points\` blob
);`,
  "CREATE UNIQUE INDEX `users_email_unique` ON `users` (`email`);",
  `CREATE TABLE \`posts\` (
	\`id\` integer PRIMARY KEY NOT NULL,
	\`title\` text NOT NULL,
	\`author_id\` integer NOT NULL,
	FOREIGN KEY (\`author_id\`) REFERENCES \`users\`(\`id\`) ON UPDATE no action ON DELETE cascade
);`,
  "CREATE INDEX `posts_author` ON `posts` (`author_id`);",
];

/** The way in which drizzle-kit changes a column: a new table in place of the old one. */
export const REBUILD_USERS = [
  "PRAGMA foreign_keys=OFF;",
  CREATE_TABLES[0]?.replace("`users`", "`__new_users`").replace("`age` integer NOT NULL", "`age` integer") ??
    "",
  "INSERT INTO `__new_users` SELECT * FROM `users`;",
  "DROP TABLE `users`;",
  "ALTER TABLE `__new_users` RENAME TO `users`;",
  "PRAGMA foreign_keys=ON;",
  "CREATE UNIQUE INDEX `users_email_unique` ON `users` (`email`);",
];
