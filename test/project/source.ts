/**
 * Reads the project's own sources for the checks beside this file: which files there are, what each one imports, and which
 * names it uses without declaring them. Works on syntax alone, so it needs no type check and takes a fraction of a second.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

export const root = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** Every .ts file below `folder`, as paths from the root with forward slashes, sorted. */
export function sourceFiles(folder: string): string[] {
  const found: string[] = [];
  const walk = (path: string): void => {
    if (!existsSync(join(root, path))) return;
    for (const entry of readdirSync(join(root, path), { withFileTypes: true })) {
      const child = posix.join(path, entry.name);
      if (entry.isDirectory()) walk(child);
      else if (child.endsWith(".ts")) found.push(child);
    }
  };
  walk(folder);
  return found.sort();
}

/** Files known to git and still there, or undefined where this is no git checkout. */
export function trackedFiles(): string[] | undefined {
  try {
    const out = execFileSync("git", ["ls-files", "-z"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return out.split("\0").filter((path) => path !== "" && existsSync(join(root, path)));
  } catch {
    return undefined;
  }
}

export function readText(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

export interface Import {
  /** As written. */
  readonly specifier: string;
  /** Path from the root, for a relative import. */
  readonly file: string | undefined;
  readonly line: number;
}

function parse(path: string, text: string): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
}

/** Every way a module names another: import, export from, import(), import types and `new URL("./x.ts", import.meta.url)`. */
export function importsOf(path: string, text = readText(path)): Import[] {
  const source = parse(path, text);
  const imports: Import[] = [];
  const add = (node: ts.Node, specifier: string): void => {
    const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
    const file = specifier.startsWith(".") ? posix.join(posix.dirname(path), specifier) : undefined;
    imports.push({ specifier, file, line });
  };
  const visit = (node: ts.Node): void => {
    if (
      (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) &&
      node.moduleSpecifier !== undefined
    ) {
      if (ts.isStringLiteral(node.moduleSpecifier)) add(node, node.moduleSpecifier.text);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const argument = node.arguments[0];
      if (argument !== undefined && ts.isStringLiteralLike(argument)) add(node, argument.text);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      if (ts.isStringLiteral(node.argument.literal)) add(node, node.argument.literal.text);
    } else if (ts.isNewExpression(node) && node.expression.getText() === "URL") {
      const argument = node.arguments?.[0];
      const base = node.arguments?.[1]?.getText();
      const isModule =
        argument !== undefined && ts.isStringLiteralLike(argument) && argument.text.endsWith(".ts");
      if (isModule && base === "import.meta.url") add(node, argument.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return imports;
}

export interface GlobalUse {
  readonly name: string;
  readonly line: number;
  /** Used as a type only: no trace of it is left at run time. */
  readonly type: boolean;
}

/**
 * The names that a file uses and nowhere declares or imports: its globals. A name declared in any scope of the file counts as declared
 * everywhere in it, which errs on the quiet side but keeps this short.
 */
export function globalsOf(path: string, text = readText(path)): GlobalUse[] {
  const source = parse(path, text);
  const declared = new Set<string>();
  const used: { name: string; node: ts.Identifier; type: boolean }[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) {
      if (isDeclarationName(node)) declared.add(node.text);
      else if (isReference(node)) used.push({ name: node.text, node, type: isTypePosition(node) });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return used
    .filter(({ name }) => !declared.has(name))
    .map(({ name, node, type }) => ({
      name,
      type,
      line: source.getLineAndCharacterOfPosition(node.getStart()).line + 1,
    }));
}

function isDeclarationName(node: ts.Identifier): boolean {
  const parent = node.parent;
  if (ts.isImportSpecifier(parent) || ts.isImportClause(parent) || ts.isNamespaceImport(parent))
    return parent.name === node;
  if (ts.isTypeParameterDeclaration(parent) || ts.isBindingElement(parent)) return parent.name === node;
  const declares =
    ts.isVariableDeclaration(parent) ||
    ts.isParameter(parent) ||
    ts.isFunctionDeclaration(parent) ||
    ts.isFunctionExpression(parent) ||
    ts.isClassDeclaration(parent) ||
    ts.isClassExpression(parent) ||
    ts.isInterfaceDeclaration(parent) ||
    ts.isTypeAliasDeclaration(parent) ||
    ts.isEnumDeclaration(parent) ||
    ts.isModuleDeclaration(parent);
  return declares && parent.name === node;
}

/** Whether an identifier stands for a value or type of that name, rather than for a member, a label or a key. */
function isReference(node: ts.Identifier): boolean {
  const parent = node.parent;
  if (ts.isPropertyAccessExpression(parent) || ts.isJsxAttribute(parent)) return parent.name !== node;
  if (ts.isQualifiedName(parent)) return parent.left === node;
  if (ts.isBindingElement(parent)) return parent.propertyName !== node;
  if (ts.isImportSpecifier(parent) || ts.isExportSpecifier(parent) || ts.isNamespaceExport(parent))
    return false;
  if (ts.isMetaProperty(parent) || ts.isLabeledStatement(parent) || ts.isBreakOrContinueStatement(parent))
    return false;
  if (ts.isNamedTupleMember(parent) || ts.isTypePredicateNode(parent) || ts.isImportTypeNode(parent))
    return false;
  const isMember =
    ts.isPropertyAssignment(parent) ||
    ts.isPropertyDeclaration(parent) ||
    ts.isPropertySignature(parent) ||
    ts.isMethodDeclaration(parent) ||
    ts.isMethodSignature(parent) ||
    ts.isGetAccessor(parent) ||
    ts.isSetAccessor(parent) ||
    ts.isEnumMember(parent);
  return !(isMember && parent.name === node);
}

function isTypePosition(node: ts.Node): boolean {
  for (let at: ts.Node = node; at.parent !== undefined; at = at.parent) {
    const parent = at.parent;
    if (ts.isTypeQueryNode(parent)) return true;
    if (ts.isExpressionWithTypeArguments(parent)) {
      const clause = parent.parent;
      return (
        ts.isHeritageClause(clause) &&
        (clause.token === ts.SyntaxKind.ImplementsKeyword || ts.isInterfaceDeclaration(clause.parent))
      );
    }
    if (ts.isTypeNode(parent) || ts.isInterfaceDeclaration(parent) || ts.isTypeAliasDeclaration(parent))
      return true;
    if (ts.isStatement(parent) || ts.isBlock(parent)) return false;
  }
  return false;
}
