/** Other Node processes, for what one process cannot show of itself: other users, ends, garbage collection. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface ProgramOptions {
  /** Options of node itself. */
  node?: string[]
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
 * Runs an ES module that is given as text, in the package's folder: `import … from './dist/namespace/open.js'`.
 * It is killed after 30 s.
 */
export function runProgram(source: string, options: ProgramOptions = {}): Promise<ProgramResult> {
  const { node = [], wrapper = [], uid, gid, env } = options
  const [file = '', ...args] = [...wrapper, process.execPath, ...node, '--input-type=module', '--eval', source]
  return new Promise((resolve) => {
    const settings = { cwd: packageFolder, timeout: 30_000, killSignal: 'SIGKILL' as const, uid, gid, env }
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
