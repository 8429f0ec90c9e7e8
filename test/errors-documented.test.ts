/** docs/errors.md has every code that the API can throw: those that lib/ makes, and those that its docstrings promise. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { errnoNumber } from '../dist/errno.js'
import { packageFolder } from './support/program.js'

const read = (file: string) => readFileSync(join(packageFolder, file), 'utf8')
const files = readdirSync(join(packageFolder, 'lib'), { recursive: true, encoding: 'utf8' })
const sources = files.filter((file) => file.endsWith('.ts')).map((file) => join('lib', file))
const page = new Set(read('docs/errors.md').match(/\b[A-Z][A-Z0-9_]+\b/g))

function isErrno(word: string): boolean {
  try {
    return errnoNumber(word as Parameters<typeof errnoNumber>[0]) > 0
  } catch {
    return false
  }
}

/** Whether a word is a code: an errno's name, or one of Node's sort. ERR_INVALID_ARG_… stands for several. */
const isCode = (word: string) => (/^(ERR|ABORT|NETKIT)_/.test(word) ? !word.endsWith('_') : isErrno(word))

/** What a docstring says about failures: after @throws, and in sentences with "rejects with" or "throws". */
function promises(docstring: string): string {
  const text = docstring.replace(/\n\s*\*?/g, ' ')
  const tags = text.split(/(?=@\w+)/).filter((part) => part.startsWith('@throws'))
  const sentences = text.match(/[^.]*\b([Rr]ejects?|[Rr]ejected|[Tt]hrows) with[^.]*/g) ?? []
  return [...tags, ...sentences].join(' ')
}

/** Every code in a source, as a thing that is made or promised. */
function codesIn(source: string): string[] {
  const made = [...source.matchAll(/namedError\(\s*'(\w+)'|\bcode: '(\w+)'|'(ERR_\w+)'/g)].map(
    ([, named, set, error]) => named ?? set ?? error ?? '',
  )
  const promised = (source.match(/\/\*\*[\s\S]*?\*\//g) ?? []).flatMap(
    (text) => promises(text).match(/\b[A-Z][A-Z0-9_]+\b/g) ?? [],
  )
  return [...made, ...promised].filter(isCode)
}

t.test('the search finds what it is to find', async (t) => {
  t.same(codesIn("throw namedError(\n  'ENODEV', 'RTM_GETLINK', '')"), ['ENODEV'])
  t.same(codesIn("{ code: 'ERR_X' as const }"), ['ERR_X'])
  t.same(codesIn('/** Rejects with EEXIST when\n * it is, EBUSY when not. EPERM is elsewhere.\n */'), [
    'EEXIST',
    'EBUSY',
  ])
  t.same(codesIn('/**\n * IPV6 goes.\n * @throws NetkitError ENODEV; RTM_X, ERR_INVALID_ARG_…\n */'), ['ENODEV'])
})

t.test('every code is in docs/errors.md', async (t) => {
  const found = new Map<string, string>()
  for (const file of sources) for (const code of codesIn(read(file))) if (!found.has(code)) found.set(code, file)
  t.ok(found.size > 20, `${found.size} codes`)
  for (const [code, file] of found) t.ok(page.has(code), `${code} (${file})`)
})

t.test('every code in the table exists', async (t) => {
  const rows = read('docs/errors.md').match(/^\| (E[A-Z]+(, E[A-Z]+)*) \|/gm) ?? []
  t.ok(rows.length > 5)
  for (const code of rows.flatMap((row) => row.match(/E[A-Z]+/g) ?? [])) t.ok(isErrno(code), code)
})
