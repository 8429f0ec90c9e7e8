/**
 * Builds what is not built yet, or is older than its sources: `node scripts/build.mjs [native] [lib] [test] [demo] [--force]`.
 *
 * - native: src-native/ -> build/Release/netkit.node
 * - lib:    lib/        -> dist/
 * - test:   test/       -> .test-build/
 * - demo:   demo/       -> .demo-build/
 *
 * Without a name, native and lib.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { bin, fail, filesIn, isStale, root, step } from './tools.mjs'

const addon = join(root, 'build/Release/netkit.node')

/**
 * The folder whose include/node/ holds the headers of the Node that runs this, or undefined: node-gyp then downloads them.
 * Every usual installation (the archive from nodejs.org, nvm, the NodeSource package) puts them beside the executable.
 */
export function headersFolder() {
  const prefix = dirname(dirname(process.execPath))
  const version = join(prefix, 'include/node/node_version.h')
  if (!existsSync(version) || !existsSync(join(prefix, 'include/node/node_api.h'))) return undefined
  const major = /#define NODE_MAJOR_VERSION (\d+)/.exec(readFileSync(version, 'utf8'))?.[1]
  return major === process.versions.node.split('.')[0] ? prefix : undefined
}

/** The environment for node-gyp: npm_config_nodedir, when the user set it, goes before what was found. */
export function gypEnvironment() {
  const nodedir = process.env.npm_config_nodedir ?? headersFolder()
  return nodedir ? { ...process.env, npm_config_nodedir: nodedir } : process.env
}

export function buildNative(force = false) {
  const sources = filesIn(join(root, 'src-native'))
  if (!sources.some((file) => file.endsWith('.cc'))) fail('src-native/ holds no C++ source')
  const inputs = [...sources, join(root, 'binding.gyp'), join(root, 'node_modules/node-addon-api/package.json')]
  if (!force && !isStale([addon], inputs)) return
  const env = gypEnvironment()
  // "configure" is needed again when a source file came or went: the list is made by binding.gyp.
  const todo = force ? ['clean', 'configure', 'build'] : ['configure', 'build']
  for (const task of todo.slice(0, -1)) step(`node-gyp ${task}`, process.execPath, [bin.nodeGyp, task], { env })
  step('Compiling the addon', process.execPath, [bin.nodeGyp, 'build', '--jobs', 'max'], { env })
  if (!existsSync(addon)) fail(`node-gyp made no ${relative(root, addon)}`)
}

/** Compiles one TypeScript project, then removes what the compiler made earlier from sources that are gone. */
function compile(name, from, to, extraInputs, force) {
  const config = join(root, from === 'lib' ? 'tsconfig.json' : `${from}/tsconfig.json`)
  const sources = filesIn(join(root, from), (file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
  const outputOf = (file) => join(root, to, relative(join(root, from), file).replace(/\.ts$/, '.js'))
  const outputs = sources.map(outputOf)
  if (force || isStale(outputs, [...sources, config, join(root, 'tsconfig.json'), ...extraInputs])) {
    step(name, process.execPath, [bin.tsc, '-p', config, '--noEmitOnError'])
  }
  const known = new Set(outputs)
  // A test that is running compiles into a snippets-PID of its own.
  const isOutput = (file) => /\.(js|js\.map|d\.ts)$/.test(file) && !file.includes('/snippets-')
  for (const file of filesIn(join(root, to), isOutput)) {
    if (!known.has(file.replace(/\.(js|js\.map|d\.ts)$/, '.js'))) rmSync(file)
  }
}

export function buildLib(force = false) {
  compile('Compiling lib', 'lib', 'dist', [], force)
}

/** The types of lib, which test and demo are compiled with. */
const typesOfLib = () => filesIn(join(root, 'dist'), (file) => file.endsWith('.d.ts'))

export function buildTest(force = false) {
  compile('Compiling test', 'test', '.test-build', typesOfLib(), force)
}

export function buildDemo(force = false) {
  compile('Compiling demo', 'demo', '.demo-build', [...typesOfLib(), join(root, 'scripts/isolate.d.mts')], force)
}

if (process.argv[1] === import.meta.filename) {
  const force = process.argv.includes('--force')
  const names = process.argv.slice(2).filter((argument) => argument !== '--force')
  const targets = { native: buildNative, lib: buildLib, test: buildTest, demo: buildDemo }
  for (const name of names.length > 0 ? names : ['native', 'lib']) {
    const build = targets[name]
    if (!build) fail(`unknown target ${name}: native, lib, test or demo`)
    build(force)
  }
}
