/** Other Node processes, for what one process cannot show of itself: other users, ends, garbage collection. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface ProgramOptions {
  /** Options of node itself. */
  node?: string[]
  /** Whether the text is a CommonJS module. Default: an ES module. */
  commonjs?: boolean
  /** A command that runs node: `['unshare', '--net']`. */
  wrapper?: string[]
  uid?: number
  gid?: number
  env?: NodeJS.ProcessEnv
}

export interface ProgramResult {
  stdout: string
  stderr: string
  exitCode: number | null
  signal: string | null
}

/** The folder above `dist`. */
export const packageFolder = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Runs a module that is given as text, in the package's folder: `import … from './dist/namespace/open.js'`. It is killed
 * after 50 s.
 */
export function runProgram(source: string, options: ProgramOptions = {}): Promise<ProgramResult> {
  const { node = [], commonjs = false, wrapper = [], uid, gid, env } = options
  const type = `--input-type=${commonjs ? 'commonjs' : 'module'}`
  const [file = '', ...args] = [...wrapper, process.execPath, ...node, type, '--eval', source]
  return new Promise((resolve) => {
    const settings = { cwd: packageFolder, timeout: 50_000, killSignal: 'SIGKILL' as const, uid, gid, env }
    const child = execFile(file, args, settings, (_error, stdout, stderr) => {
      resolve({ stdout, stderr, exitCode: child.exitCode, signal: child.signalCode })
    })
  })
}

/** The same, and what it printed as JSON. Rejects with its standard error when it fails. */
// biome-ignore lint/suspicious/noExplicitAny: whatever the program prints
export async function askProgram(source: string, options?: ProgramOptions): Promise<any> {
  const { stdout, stderr, exitCode, signal } = await runProgram(source, options)
  if (exitCode !== 0) throw new Error(`the program ended with ${exitCode ?? signal}: ${stderr}`)
  return JSON.parse(stdout)
}
