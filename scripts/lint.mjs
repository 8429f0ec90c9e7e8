/**
 * `npm run lint`: Biome over everything it knows, the layers of lib/, clang-format over C and C++.
 * `npm run format` (`--fix`): formats, and orders imports.
 *
 * The versions of clang-format do not agree with each other. The one that counts is Debian 12's, 14; without it, C and C++ are
 * not looked at.
 */
import { join } from 'node:path'
import { checkLayers } from './layers.mjs'
import { bin, filesIn, output, root, run, which } from './tools.mjs'

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
const found = ['clang-format-14', 'clang-format'].filter((name) => which(name))
const versions = found.map((name) => output(name, ['--version']).trim())
const right = found.find((_, i) => /version 14\./.test(versions[i]))
if (right) {
  results.push(run(right, [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...sources]))
} else {
  console.log(
    `SKIPPED: C and C++ were not looked at, for want of clang-format 14 (here: ${versions.join(', ') || 'none'})`,
  )
}

process.exit(results.every(Boolean) ? 0 : 1)
