/** The rules for lib/ that no linter knows: calls go down only, one door to C++, no file grows without end. */
import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { filesIn, root } from './tools.mjs'

const lib = join(root, 'lib')
const longest = 450

/** Top to bottom; a file may import from its own layer and from those below. */
const layers = [
  ['index.ts'],
  ['capture'],
  ['pump'],
  ['tuntap', 'sockets'],
  ['packets'],
  ['rtnetlink'],
  ['namespace'],
  ['netlink'],
  ['native.ts', 'native'],
  ['values', 'validate.ts', 'suggestions.ts', 'errors.ts', 'errno.ts'],
]

/** The layer's number, 0 at the top, or -1 for what stands in no layer. */
function layerOf(file) {
  const top = relative(lib, file).split('/')[0]
  return layers.findIndex((names) => names.includes(top))
}

/** What breaks the rules, one line each. */
export function checkLayers() {
  const problems = []
  for (const file of filesIn(lib, (name) => name.endsWith('.ts'))) {
    const name = relative(root, file)
    const text = readFileSync(file, 'utf8')
    const lines = text.split('\n').length - 1
    if (lines > longest) problems.push(`${name}: ${lines} lines, more than ${longest}: it holds more than one subject`)
    const layer = layerOf(file)
    if (layer < 0) problems.push(`${name}: stands in no layer (scripts/layers.mjs)`)
    for (const [, target] of text.matchAll(/^(?:import|export)\b(?:[^'"]*?\bfrom\s*|\s*)'(\.[^']*\.js)'/gm)) {
      const imported = join(dirname(file), target)
      if (layer >= 0 && layerOf(imported.replace(/\.js$/, '.ts')) < layer) {
        problems.push(`${name}: imports ${target}, from a layer above its own`)
      }
    }
    if (name !== 'lib/native.ts' && /node-gyp-build|process\.dlopen|\.node['"]/.test(text)) {
      problems.push(`${name}: only lib/native.ts loads the addon`)
    }
  }
  return problems
}
