/** Processes and the namespaces that they are in, from /proc. Everything is read on libuv's pool, a few at a time. */
import { readdir, readlink, stat } from 'node:fs/promises'
import { namedError } from '../errors.js'
import { checkInteger } from '../validate.js'
import { failedWith, fromSystemError } from './failure.js'
import type { NamespaceIdentity } from './identity.js'

/** One file of /proc/PID/ns. */
export interface ProcessNamespace {
  inode: number
  /** The device of the file system of namespaces, as in `Namespace#device`. */
  device: number
  /** Its file, `/proc/PID/ns/KIND`. */
  path: string
}

/** The namespaces of one process, by the names of /proc/PID/ns (namespaces(7)). */
export interface ProcessNamespaces {
  cgroup: ProcessNamespace
  ipc: ProcessNamespace
  mnt: ProcessNamespace
  net: ProcessNamespace
  pid: ProcessNamespace
  user: ProcessNamespace
  uts: ProcessNamespace
  /** The one that new children will be in; not there between unshare(2) and the first child. */
  pid_for_children?: ProcessNamespace
  /** Linux 5.6. */
  time?: ProcessNamespace
  /** Linux 5.6. */
  time_for_children?: ProcessNamespace
}

/** How many files of /proc are asked for at once. */
const CONCURRENCY = 32

/**
 * All namespaces of a process.
 *
 * Rejects with ESRCH when there is no such process (or it is ending), and with EACCES when this process may not look into it,
 * which takes the same user or CAP_SYS_PTRACE (ptrace(2), PTRACE_MODE_READ_FSCREDS).
 */
export async function processNamespaces(pid: number): Promise<ProcessNamespaces> {
  checkInteger(pid, 'pid', 1, 0x7fffffff)
  const message = `cannot read the namespaces of process ${pid}`
  const folder = `/proc/${pid}/ns`
  let files: (readonly [string, ProcessNamespace | undefined])[]
  try {
    const kinds = (await readdir(folder)).sort()
    files = await Promise.all(kinds.map(async (kind) => [kind, await namespaceFile(`${folder}/${kind}`)] as const))
  } catch (error) {
    if (failedWith(error, 'ENOENT', 'ESRCH')) throw namedError('ESRCH', 'open', message, error)
    throw fromSystemError(error, message, () => lookHint(pid))
  }
  const found = Object.fromEntries(files.filter(([, file]) => file !== undefined))
  // A process that is ending has let go of its namespaces.
  if (found.net === undefined) throw namedError('ESRCH', 'open', message)
  return found as unknown as ProcessNamespaces
}

/** Who may look into a process. */
export function lookHint(pid: number): string {
  return `only the same user, or one with CAP_SYS_PTRACE, may look into process ${pid}`
}

/** Undefined when there is none: `pid_for_children` before the first child. */
async function namespaceFile(path: string): Promise<ProcessNamespace | undefined> {
  try {
    const { ino, dev } = await stat(path)
    return { inode: ino, device: dev, path }
  } catch (error) {
    if (failedWith(error, 'ENOENT')) return undefined
    throw error
  }
}

/** The ids of the processes in a namespace, ascending. */
export async function processesIn(identity: NamespaceIdentity): Promise<number[]> {
  return (await processesByNamespace()).get(identity.inode) ?? []
}

/** The processes that this process may look into, by the inode of their network namespace, ascending. */
export async function processesByNamespace(): Promise<Map<number, number[]>> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  pids.sort((a, b) => a - b)
  const found = new Map<number, number[]>()
  for (let i = 0; i < pids.length; i += CONCURRENCY) {
    const some = pids.slice(i, i + CONCURRENCY)
    const inodes = await Promise.all(some.map(networkNamespaceOf))
    inodes.forEach((inode, j) => {
      if (inode === undefined) return
      const known = found.get(inode)
      if (known === undefined) found.set(inode, [some[j] as number])
      else known.push(some[j] as number)
    })
  }
  return found
}

/** Undefined for a process that is gone, ending, or not to be looked into. */
async function networkNamespaceOf(pid: number): Promise<number | undefined> {
  try {
    const inode = /^net:\[(\d+)\]$/.exec(await readlink(`/proc/${pid}/ns/net`))?.[1]
    return inode === undefined ? undefined : Number(inode)
  } catch {
    return undefined
  }
}
