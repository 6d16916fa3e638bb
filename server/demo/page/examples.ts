/** Queries to begin with, each with what it shows. */
export interface Example {
  readonly title: string;
  readonly sql: string;
}

export const examples: readonly Example[] = [
  {
    title: "One post, and who wrote it",
    sql: `SELECT p.id, p.title, u.name, u.city
FROM posts p JOIN users u ON u.id = p.author
WHERE p.id = 12345;`,
  },
  {
    title: "A profile: followers, posts, the newest of them",
    sql: `SELECT u.name, u.city,
  (SELECT count(*) FROM follows WHERE followee = u.id) AS followers,
  (SELECT count(*) FROM posts WHERE author = u.id) AS posts,
  (SELECT title FROM posts WHERE author = u.id ORDER BY created DESC LIMIT 1) AS newest
FROM users u WHERE u.id = 1234;`,
  },
  {
    title: "Full text: titles about a lantern",
    sql: `SELECT rowid AS id, highlight(posts_fts, 0, '[', ']') AS title
FROM posts_fts WHERE posts_fts MATCH 'lantern OR candle'
ORDER BY rowid DESC LIMIT 20;`,
  },
  {
    title: "The conversation under a post",
    sql: `SELECT c.id, u.name, c.body
FROM comments c JOIN users u ON u.id = c.author
WHERE c.post BETWEEN 20000 AND 20010
ORDER BY c.post, c.created;`,
  },
  {
    title: "Friends of friends",
    sql: `SELECT u.id, u.name, count(*) AS mutual
FROM follows a JOIN follows b ON b.follower = a.followee
JOIN users u ON u.id = b.followee
WHERE a.follower = 77
GROUP BY u.id ORDER BY mutual DESC, u.id LIMIT 15;`,
  },
  {
    title: "A range of time, by an index",
    sql: `SELECT date(created, 'unixepoch') AS day, count(*) AS posts
FROM posts
WHERE created BETWEEN 1602000000 AND 1602600000
GROUP BY day;`,
  },
  {
    title: "A scan: all users by city (watch it read ahead)",
    sql: `SELECT city, count(*) AS users, max(length(bio)) AS longest_bio
FROM users GROUP BY city ORDER BY users DESC;`,
  },
  {
    title: "Write: rename a user (then push)",
    sql: `UPDATE users SET name = name || ' (renamed)' WHERE id = 1234;
SELECT id, name FROM users WHERE id = 1234;`,
  },
];
