// Where one design is measured: two namespaces, `left` in one and `right` in the other, a third one between them for what
// needs it, and the program that joins them.
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createNamespace } from '../../dist/index.js'
import { elapsed, schedule, stolen } from './pins.mjs'

const child = fileURLToPath(new URL('./child.mjs', import.meta.url))

const words = {
  tcp: (address, milliseconds) => ['tcpload', address, String(milliseconds)],
  udp: (address, milliseconds) => ['blast', address, '18', String(milliseconds)],
  rtt: (address, milliseconds) => ['rtt', address, String(milliseconds)],
}

/** Not to be left behind, however this process ends. */
const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

function remember(child) {
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** Ends a child that this started, and waits until it has ended. */
async function end(process) {
  if (process.exitCode !== null || process.signalCode !== null) return
  process.kill('SIGKILL')
  await once(process, 'exit')
}

export class Site {
  /** The process whose time is counted; none for what the kernel does. */
  pump
  #children = []
  #answers
  #atEnd = []

  static async create(design, context) {
    const site = new Site()
    site.name = design.name
    site.context = context
    site.near = await createNamespace()
    site.far = await createNamespace()
    site.between = await createNamespace()
    try {
      for (const namespace of [site.near, site.far, site.between]) {
        // Nothing but the load's frames.
        namespace.sysctl.set('net.ipv6.conf.all.disable_ipv6', 1)
        namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
        await (await namespace.links.get('lo')).set({ up: true })
      }
      await design.start(site)
      site.address = design.address ?? '10.99.0.2'
      site.target = design.target === undefined ? site.far : site[design.target]
      if (design.configured !== true) await site.#configure()
    } catch (error) {
      await site.close()
      throw Object.assign(error, { message: `${design.name}: ${error.message}` })
    }
    return site
  }

  async #configure() {
    const sides = [
      [this.near, 'left', '10.99.0.1/24'],
      [this.far, 'right', '10.99.0.2/24'],
    ]
    for (const [namespace, name, address] of sides) {
      const link = await namespace.links.get(name)
      await link.addAddress(address)
      await link.set({ up: true })
    }
  }

  /** Starts a program of this bench on the pump's core, and waits until it says `ready`. */
  async c(...args) {
    const [program, ...rest] = args
    this.pump = await this.run([join(this.context.programs, program), ...rest], {
      stdio: ['ignore', 'pipe', 'inherit', this.near.fd, this.far.fd, this.between.fd],
      ready: true,
    })
  }

  /** Starts a program on the pump's core. */
  async run(command, { stdio, ready = false, namespace } = {}) {
    const [file, ...rest] = [...this.context.pins.pump, ...command]
    const start = namespace === undefined ? spawn : namespace.spawn.bind(namespace)
    const started = remember(start(file, rest, { stdio: stdio ?? ['pipe', 'ignore', 'inherit'] }))
    this.#children.push(started)
    if (ready) {
      const failed = once(started, 'exit').then(([code]) => Promise.reject(new Error(`${command[0]} ended (${code})`)))
      failed.catch(() => {})
      await Promise.race([once(started.stdout, 'data'), failed])
    }
    return started.pid
  }

  /** Starts a design of netkit's in a process of its own (child.mjs). */
  async netkit(name, flags = []) {
    const [file = process.execPath, ...rest] = [...this.context.pins.pump, process.execPath]
    const namespaces = [this.near, this.far, this.between].map(({ fd }) => `/proc/${process.pid}/fd/${fd}`)
    const forked = fork(child, [name, join(this.context.programs, 'pump'), ...namespaces], {
      execPath: file,
      execArgv: [...rest, ...flags],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    const started = remember(forked)
    this.#children.push(started)
    this.pump = started.pid
    const failed = once(started, 'exit').then(([code]) => Promise.reject(new Error(`its process ended (${code})`)))
    failed.catch(() => {})
    this.#answers = async () => {
      const [answer] = await Promise.race([once(started, 'message'), failed])
      if (answer.error !== undefined) throw Object.assign(new Error(answer.error), { skip: answer.skip })
      return answer
    }
    this.ask = async (question) => {
      started.send(question)
      return this.#answers()
    }
    await this.#answers()
  }

  /** One slice of load: what the load's program printed, the pump's milliseconds, and what disturbed. */
  async slice(load, milliseconds) {
    const [program, ...rest] = words[load](this.address, milliseconds)
    const [file, ...args] = [...this.context.pins.load, join(this.context.programs, program), ...rest]
    const pump = schedule(this.pump)
    const stolenBefore = stolen()
    const loader = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit', this.near.fd, this.target.fd] })
    let text = ''
    loader.stdout.on('data', (data) => {
      text += data
    })
    const [code] = await once(loader, 'close')
    if (code !== 0) throw new Error(`${this.name}: ${program} failed (${code})`)
    const { value, waited, ...more } = JSON.parse(text)
    const { busy, waited: pumpWaited } = elapsed(pump, schedule(this.pump))
    return {
      ...more,
      value,
      busy,
      pumpWaited,
      loadWaited: waited,
      stolen: stolen() - stolenBefore,
    }
  }

  onClose(action) {
    this.#atEnd.push(action)
  }

  async close() {
    for (const started of this.#children) await end(started)
    for (const action of this.#atEnd) action()
    for (const namespace of [this.near, this.far, this.between]) await namespace?.delete()
  }
}
