/** How the demo ends: whatever was made is undone, in reverse order, after success, an error, or a signal. */
import { readdirSync, readlinkSync } from 'node:fs'
import { constants } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { createNamespace, listNamespaces, type Namespace } from 'netkit'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Milliseconds for the undoing, after which the process ends anyway (and with it all that it holds). */
const LIMIT = 5000

export class Lifetime {
  readonly #controller = new AbortController()
  readonly #steps: { what: string; undo: () => unknown }[] = []
  /** Inodes of the namespaces that were made. */
  readonly #inodes = new Set<number>()
  /** The first signal that came. */
  stoppedBy: (typeof signals)[number] | undefined

  constructor() {
    for (const name of signals) {
      // Once more, or while things are being undone: nothing to add.
      process.on(name, () => {
        this.stoppedBy ??= name
        this.#controller.abort(new Error(`stopped by ${name}`))
      })
    }
    // Nobody reads any more: `npm run demo | head`.
    process.stdout.on('error', (error) => this.fail(error))
  }

  /** Fires at the first signal: ends what waits. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Something went wrong that nobody waits for. */
  fail(error: unknown): void {
    this.#controller.abort(error)
  }

  /** Throws when the demo was told to stop. */
  check(): void {
    this.signal.throwIfAborted()
  }

  /** The exit code that a shell expects of a process ended by this signal. */
  get exitCode(): number {
    return this.stoppedBy === undefined ? 1 : 128 + constants.signals[this.stoppedBy]
  }

  /** What `end()` has to do. */
  defer(what: string, undo: () => unknown): void {
    this.#steps.push({ what, undo })
  }

  /**
   * A namespace without a name: it is nobody else's, so that two demos do not meet, and it goes with the process at the
   * latest. The label is what the demo calls it.
   */
  async namespace(label: string): Promise<Namespace> {
    this.check()
    const namespace = await createNamespace()
    this.#inodes.add(namespace.inode)
    this.defer(`namespace ${label}`, () => namespace.delete())
    return namespace
  }

  /** How many namespaces were made. */
  get namespaces(): number {
    return this.#inodes.size
  }

  /** Undoes everything. Resolves to what went wrong, one line each. */
  async end(): Promise<string[]> {
    const limit = setTimeout(() => {
      process.stderr.write(`not everything was undone within ${LIMIT} ms; the kernel does the rest\n`)
      process.exit(this.exitCode)
    }, LIMIT)
    const problems: string[] = []
    for (const { what, undo } of this.#steps.splice(0).reverse()) {
      try {
        await undo()
      } catch (error) {
        problems.push(`${what}: ${error instanceof Error ? error.message : error}`)
      }
    }
    problems.push(...(await this.#leftovers()))
    clearTimeout(limit)
    return problems
  }

  /** What still holds one of the namespaces: a process inside, or a descriptor of this process. */
  async #leftovers(): Promise<string[]> {
    for (let attempt = 1; ; attempt++) {
      const held = (await listNamespaces({ all: true })).filter(({ inode }) => this.#inodes.has(inode))
      const open = readdirSync('/proc/self/fd').filter((fd) => this.#inodes.has(inodeOf(`/proc/self/fd/${fd}`)))
      if (held.length + open.length === 0) return []
      // A program that was killed a moment ago may still be listed.
      if (attempt === 20) {
        return [
          ...held.map(({ inode, pids }) => `namespace ${inode} is still held by ${pids?.join(', ') || 'a name'}`),
          ...open.map((fd) => `descriptor ${fd} still holds a namespace`),
        ]
      }
      await delay(50)
    }
  }
}

/** The number in `net:[4026532177]`, or -1. */
function inodeOf(path: string): number {
  try {
    return Number(/^net:\[(\d+)\]$/.exec(readlinkSync(path))?.[1] ?? -1)
  } catch {
    return -1
  }
}
