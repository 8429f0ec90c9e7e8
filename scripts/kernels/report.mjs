/** Which kernel ran which test: the table at the end of `npm run test:kernels`. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../tools.mjs'

/** What the last `npm test` of a file left (test.mjs), or undefined. */
export function resultHere(name) {
  const file = join(root, '.test-build/results', `${name}.json`)
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
}

/** The lines that test.mjs wrote; the last may be cut off. */
export function parseResults(text) {
  const results = text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
  // Of a file that was run twice, the second.
  return [...new Map(results.map((result) => [result.name, result])).values()]
}

function cell(result) {
  if (result === undefined) return 'not run'
  const { passed, failed, skipped } = result
  const parts = [
    passed > 0 && `${passed} passed`,
    failed > 0 && `${failed} FAILED`,
    skipped > 0 && `${skipped} skipped`,
  ]
  return parts.filter(Boolean).join(', ') || 'nothing'
}

/**
 * The tests that were skipped here and passed there: themselves, or as a line of a test that passed (a skipped line of one has the
 * test's name and its own). What there was no time for, or what a crash came before, did not pass.
 */
function gained(here, there) {
  const ended = new Set(there.skips.map(({ name }) => name))
  const passed = new Set(there.passes)
  const parent = (name) => name.split(' > ').slice(0, -1).join(' > ')
  return here.skips
    .map(({ name }) => name)
    .filter((name) => !ended.has(name) && (passed.has(name) || passed.has(parent(name))))
}

/** The table of `names`, of this machine's kernel and of `columns`: `{ title, results }`, results as parseResults gives them. */
export function table(names, columns) {
  const here = new Map(names.map((name) => [name, resultHere(name)]))
  const releases = [...new Set([...here.values()].filter(Boolean).map(({ kernel }) => kernel))]
  const there = columns.map(({ results }) => new Map(results.map((result) => [result.name, result])))
  const rows = [['test file', `here (${releases.join(', ') || '-'})`, ...columns.map(({ title }) => title)]]
  for (const name of names) rows.push([name, cell(here.get(name)), ...there.map((results) => cell(results.get(name)))])
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)))
  const lines = rows.map((row) =>
    row
      .map((text, i) => text.padEnd(widths[i]))
      .join('  ')
      .trimEnd(),
  )

  columns.forEach(({ title }, i) => {
    const found = names.flatMap((name) => {
      const [mine, theirs] = [here.get(name), there[i].get(name)]
      return mine && theirs ? gained(mine, theirs).map((test) => `  ${name}: ${test}`) : []
    })
    if (found.length > 0) lines.push('', `Skipped here, passed under ${title}:`, ...found)
  })
  return lines.join('\n')
}
