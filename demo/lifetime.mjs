/** How the demo ends: whatever was made is undone, in reverse order, after success, an error, or a signal. */
import { readdirSync, readlinkSync } from 'node:fs'
import { constants } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { createNamespace, listNamespaces } from 'netkit'

const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])

/** Milliseconds for the undoing, after which the process ends anyway (and with it all that it holds). */
const LIMIT = 5000

export class Lifetime {
  #controller = new AbortController()
  /** @type {{ what: string, undo: () => unknown }[]} */
  #steps = []
  /** Inodes of the namespaces that were made. @type {Set<number>} */
  #inodes = new Set()
  /** @type {(typeof signals)[number] | undefined} */
  stoppedBy

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
  get signal() {
    return this.#controller.signal
  }

  /** Something went wrong that nobody waits for. @param {unknown} error */
  fail(error) {
    this.#controller.abort(error)
  }

  /** Throws when the demo was told to stop. */
  check() {
    this.signal.throwIfAborted()
  }

  /** The exit code that a shell expects of a process ended by this signal. */
  get exitCode() {
    return this.stoppedBy === undefined ? 1 : 128 + constants.signals[this.stoppedBy]
  }

  /** @param {string} what @param {() => unknown} undo */
  defer(what, undo) {
    this.#steps.push({ what, undo })
  }

  /**
   * A namespace without a name: it is nobody else's, so that two demos do not meet, and it goes with the process at the
   * latest.
   *
   * @param {string} label what the demo calls it
   */
  async namespace(label) {
    this.check()
    const namespace = await createNamespace()
    this.#inodes.add(namespace.inode)
    this.defer(`namespace ${label}`, () => namespace.delete())
    return namespace
  }

  /** How many namespaces were made. */
  get namespaces() {
    return this.#inodes.size
  }

  /** Undoes everything. Resolves to what went wrong, one line each. @returns {Promise<string[]>} */
  async end() {
    const limit = setTimeout(() => {
      process.stderr.write(`not everything was undone within ${LIMIT} ms; the kernel does the rest\n`)
      process.exit(this.exitCode)
    }, LIMIT)
    const problems = []
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

  /**
   * What still holds one of the namespaces: a process inside, or a descriptor of this process.
   *
   * @returns {Promise<string[]>}
   */
  async #leftovers() {
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

/** The number in `net:[4026532177]`, or -1. @param {string} path */
function inodeOf(path) {
  try {
    return Number(/^net:\[(\d+)\]$/.exec(readlinkSync(path))?.[1] ?? -1)
  } catch {
    return -1
  }
}
