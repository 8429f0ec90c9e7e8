/**
 * Module hooks (node:module's register) that count what runs: every function, branch and loop of netkit's decoders, and how near
 * each comparison of numbers came to being equal. scripts/fuzz.mjs reads the counts after each run.
 *
 * The modules are those of dist whose path `data.pattern` matches; they see `globalThis.netkitCoverage` (scripts/coverage.mjs).
 */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

let pattern = /$^/

export function initialize(data) {
  pattern = new RegExp(data.pattern)
}

export async function load(url, context, nextLoad) {
  if (!url.startsWith('file:') || !pattern.test(url)) return nextLoad(url, context)
  const text = await readFile(fileURLToPath(url), 'utf8')
  return { format: 'module', shortCircuit: true, source: instrument(text) }
}

const { factory, SyntaxKind } = ts
const counters = factory.createIdentifier('netkitCounters')
const compare = factory.createIdentifier('netkitCompare')
const logical = new Set([SyntaxKind.AmpersandAmpersandToken, SyntaxKind.BarBarToken, SyntaxKind.QuestionQuestionToken])
const equalities = new Map([
  [SyntaxKind.EqualsEqualsEqualsToken, true],
  [SyntaxKind.ExclamationEqualsEqualsToken, false],
])

/** The text of a module with its counters in it. */
export function instrument(text) {
  const file = ts.createSourceFile('module.js', text, ts.ScriptTarget.ES2022, true, ts.ScriptKind.JS)
  let count = 0
  let comparisons = 0
  const tick = () => factory.createPostfixIncrement(factory.createElementAccessExpression(counters, count++))
  const counted = (expression) =>
    factory.createParenthesizedExpression(
      factory.createComma(tick(), factory.createParenthesizedExpression(expression)),
    )
  const block = (statement) =>
    ts.isBlock(statement)
      ? factory.updateBlock(statement, [factory.createExpressionStatement(tick()), ...statement.statements])
      : factory.createBlock([factory.createExpressionStatement(tick()), statement], true)
  const body = (node) => (node === undefined ? undefined : ts.isBlock(node) ? block(node) : counted(node))

  const { transformed } = ts.transform(file, [
    (context) => (root) => {
      const visit = (original) => {
        const node = ts.visitEachChild(original, visit, context)
        if (ts.isArrowFunction(node)) {
          const { modifiers, typeParameters, parameters, type, equalsGreaterThanToken } = node
          return factory.updateArrowFunction(
            node,
            modifiers,
            typeParameters,
            parameters,
            type,
            equalsGreaterThanToken,
            body(node.body),
          )
        }
        if (ts.isFunctionDeclaration(node) && node.body) {
          const { modifiers, asteriskToken, name, typeParameters, parameters, type } = node
          return factory.updateFunctionDeclaration(
            node,
            modifiers,
            asteriskToken,
            name,
            typeParameters,
            parameters,
            type,
            block(node.body),
          )
        }
        if (ts.isMethodDeclaration(node) && node.body) {
          const { modifiers, asteriskToken, name, questionToken, typeParameters, parameters, type } = node
          return factory.updateMethodDeclaration(
            node,
            modifiers,
            asteriskToken,
            name,
            questionToken,
            typeParameters,
            parameters,
            type,
            block(node.body),
          )
        }
        if (ts.isIfStatement(node)) {
          const other = node.elseStatement ?? factory.createBlock([])
          return factory.updateIfStatement(node, node.expression, block(node.thenStatement), block(other))
        }
        if (ts.isForStatement(node)) {
          return factory.updateForStatement(
            node,
            node.initializer,
            node.condition,
            node.incrementor,
            block(node.statement),
          )
        }
        if (ts.isForOfStatement(node)) {
          return factory.updateForOfStatement(
            node,
            node.awaitModifier,
            node.initializer,
            node.expression,
            block(node.statement),
          )
        }
        if (ts.isWhileStatement(node)) return factory.updateWhileStatement(node, node.expression, block(node.statement))
        if (ts.isCaseClause(node)) {
          return factory.updateCaseClause(node, node.expression, [
            factory.createExpressionStatement(tick()),
            ...node.statements,
          ])
        }
        if (ts.isCatchClause(node)) {
          return factory.updateCatchClause(node, node.variableDeclaration, block(node.block))
        }
        if (ts.isConditionalExpression(node)) {
          const { condition, questionToken, whenTrue, colonToken, whenFalse } = node
          return factory.updateConditionalExpression(
            node,
            condition,
            questionToken,
            counted(whenTrue),
            colonToken,
            counted(whenFalse),
          )
        }
        if (ts.isBinaryExpression(node) && logical.has(node.operatorToken.kind)) {
          return factory.updateBinaryExpression(node, node.left, node.operatorToken, counted(node.right))
        }
        if (ts.isBinaryExpression(node) && equalities.has(node.operatorToken.kind)) {
          const equal = factory.createCallExpression(compare, undefined, [
            factory.createNumericLiteral(comparisons++),
            node.left,
            node.right,
          ])
          return equalities.get(node.operatorToken.kind) ? equal : factory.createLogicalNot(equal)
        }
        return node
      }
      return ts.visitEachChild(root, visit, context)
    },
  ])
  const printed = ts.createPrinter().printFile(transformed[0])
  // One line, so that lines keep their numbers as far as they can.
  return `const [netkitCounters, netkitCompare] = globalThis.netkitCoverage.forModule(${count}, ${comparisons}); ${printed}`
}
