/** What the scripts here share: paths, finding files, running commands. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root folder, without a slash at the end. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')

/** A script of a package in node_modules, to be run with this Node (npx would cost half a second each). */
export const bin = {
  tsc: join(root, 'node_modules/typescript/bin/tsc'),
  biome: join(root, 'node_modules/@biomejs/biome/bin/biome'),
  nodeGyp: join(root, 'node_modules/node-gyp/bin/node-gyp.js'),
  prebuildify: join(root, 'node_modules/prebuildify/bin.js'),
}

/** Every file below a folder (empty when there is no such folder), as absolute paths, for which `wanted` is true. */
export function filesIn(folder, wanted = () => true) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter(wanted)
    .sort()
}

/** Modification time in milliseconds, or undefined when there is no such file. */
export function modified(file) {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs
}

/** True when an output is missing or older than an input. */
export function isStale(outputs, inputs) {
  const oldest = Math.min(...outputs.map((file) => modified(file) ?? 0))
  return inputs.some((file) => (modified(file) ?? 0) > oldest)
}

/** The full path of a program in PATH, or undefined. */
export function which(name, path = process.env.PATH ?? '') {
  for (const folder of path.split(delimiter)) {
    const file = join(folder, name)
    try {
      accessSync(file, constants.X_OK)
      if (statSync(file).isFile()) return file
    } catch {}
  }
  return undefined
}

/** Ends the script with a message and exit code 1. */
export function fail(message) {
  console.error(message)
  process.exit(1)
}

/** Runs a program with its output shown. Returns true when it ended with 0. */
export function run(program, args, options = {}) {
  const { status, signal, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit', ...options })
  if (error) console.error(`${program}: ${error.message}`)
  if (signal) console.error(`${program}: ended by ${signal}`)
  return status === 0
}

/** Runs a program and keeps its output. `problem` is undefined when it ended with 0, or else says all that is known. */
function capture(program, args, options) {
  const { status, signal, error, stdout, stderr } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    ...options,
  })
  if (!error && status === 0) return { stdout }
  const end = error?.message ?? signal ?? `exit code ${status}`
  return { stdout, problem: `${program} ${args.join(' ')}\n${stdout ?? ''}${stderr ?? ''}${end}` }
}

/** Runs a program and returns what it wrote to its standard output; ends the script when it fails. */
export function output(program, args, options = {}) {
  const { stdout, problem } = capture(program, args, options)
  if (problem) fail(problem)
  return stdout
}

/** Runs one step: a line with its name and duration, and its output only when it fails, which ends the script. */
export function step(name, program, args, options = {}) {
  const start = performance.now()
  process.stdout.write(`${name} … `)
  const { problem } = capture(program, args, options)
  if (problem) {
    console.log('failed')
    fail(problem)
  }
  console.log(`${((performance.now() - start) / 1000).toFixed(1)} s`)
}
