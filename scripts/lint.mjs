/**
 * `npm run lint`: Biome over everything it knows, the layers of lib/, clang-format over C and C++.
 * `npm run format` (`--fix`): formats, and orders imports.
 *
 * clang-format may be missing on a developer's machine; in CI (CI=true) it may not. Its versions do not agree with each other:
 * the one that counts is Debian 12's, 14.
 */
import { join } from 'node:path'
import { checkLayers } from './layers.mjs'
import { bin, filesIn, root, run, which } from './tools.mjs'

const fix = process.argv.includes('--fix')
const results = []

const biome = fix ? ['check', '--write', '--linter-enabled=false'] : ['check', '--error-on-warnings']
results.push(run(process.execPath, [bin.biome, ...biome, '.']))

if (!fix) {
  const problems = checkLayers()
  for (const problem of problems) console.error(problem)
  results.push(problems.length === 0)
}

const isC = (file) => /\.(c|cc|h)$/.test(file)
const sources = ['src-native', 'bench', 'test'].flatMap((folder) => filesIn(join(root, folder), isC))
if (which('clang-format')) {
  results.push(run('clang-format', [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...sources]))
} else if (process.env.CI) {
  console.error('clang-format is not installed')
  results.push(false)
} else console.log('clang-format is not installed: C and C++ were not looked at')

process.exit(results.every(Boolean) ? 0 : 1)
