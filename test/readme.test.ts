/** Every code block of the README and the guides runs as it stands, and prints what the block after it says. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { needs } from './support/needs.js'
import { packageFolder } from './support/program.js'
import { printsAsExpected, runScratch, snippetsOf, writeSnippets } from './support/snippets.js'

const guides = readdirSync(join(packageFolder, 'docs')).filter((name) => name.endsWith('.md'))
const files = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...guides.map((name) => `docs/${name}`)]
const withCode = files.filter((file) => file === 'README.md' || file.startsWith('docs/'))

// More than sixty programs.
t.setTimeout(180_000 * Number(process.env.NETKIT_TEST_SLOWNESS ?? 1))

const able = await needs('namespaces', 'unshare', 'mount')
// Put together here: by the whole word, test:kernels would choose this file, with all its programs, for its guests.
const macvtap = ['kind', 'macvtap'].join(':')
const folder = join(packageFolder, `.test-build/snippets-${process.pid}`)
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

t.test('the expected output is compared', async (t) => {
  t.equal(printsAsExpected('one\ntwo 17 ms\n', 'one\ntwo … ms'), true)
  t.equal(printsAsExpected('one\ntwo\nthree\n', 'one\n…'), false, 'a mark stands for a part of a line')
  t.equal(printsAsExpected('axb\n', 'a.b'), false, 'nothing else is a pattern')
  t.equal(printsAsExpected('one\n', 'on'), false)
})

t.test('links lead somewhere', async (t) => {
  for (const file of files) {
    const text = readFileSync(join(packageFolder, file), 'utf8')
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue
      const [path = '', anchor] = target.split('#')
      const full = path === '' ? join(packageFolder, file) : join(packageFolder, dirname(file), path)
      t.ok(existsSync(full), `${file}: ${target}`)
      if (anchor === undefined || !existsSync(full)) continue
      const headings = [...readFileSync(full, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
        heading
          .toLowerCase()
          .replace(/[^\w\s-]/g, '')
          .replaceAll(' ', '-'),
      )
      t.ok(headings.includes(anchor), `${file}: ${target} is a heading`)
    }
  }
})

t.test('the code runs', { ...able, jobs: 2 }, async (t) => {
  const snippets = withCode.flatMap(snippetsOf)
  t.ok(snippets.length > 15, `there are ${snippets.length} blocks`)
  const programs = writeSnippets(folder, snippets)
  for (const [i, { place, code, output }] of snippets.entries()) {
    const wanted = [
      /\bopenT(ap|un)\(/.test(code) ? ['tun'] : [],
      /\bopenMacvtap\(/.test(code) ? ['root', macvtap] : [],
      /'ping'/.test(code) ? ['ping'] : [],
    ].flat()
    t.test(place, { ...(await needs(...wanted)), buffered: true }, async (t) => {
      const { stdout, stderr, exitCode } = await runScratch(programs[i] as string)
      t.equal(exitCode, 0, stderr)
      t.equal(stderr, '', 'it warns of nothing')
      if (output === undefined) return
      t.ok(printsAsExpected(stdout, output), 'it prints what the page says', { printed: stdout, expected: output })
    })
  }
})
