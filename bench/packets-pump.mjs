// One design of the packet benchmark: two namespaces, a tap in each, and a pump between them. Answers a number of milliseconds
// from its parent with the frames that came through in them.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { join } from 'node:path'
import { createNamespace, openTap } from '../dist/index.js'

const [design, programs, load] = process.argv.slice(2)
const pin = JSON.parse(load)
const frameloop = join(programs, 'frameloop')
const children = []
// Held here, so that the taps of pumps that use only their descriptors are not collected.
const taps = []

const pumps = {
  c(left, right) {
    const child = spawn(frameloop, ['pump'], { stdio: ['ignore', 'inherit', 'inherit', left.fds[0], right.fds[0]] })
    children.push(child)
  },
  async batches(from, to) {
    for await (const batch of from.batches()) to.writeBatch(batch)
  },
  pipe(from, to) {
    from.pipe(to)
  },
  async 'for-await'(from, to) {
    for await (const frame of from) to.write(frame)
  },
  // How packages do it that know only a descriptor: a blocking read on libuv's thread pool for every frame.
  'fs-read'(from, to) {
    const buffer = Buffer.alloc(2048)
    const [source] = from.fds
    const [target] = to.fds
    const next = () =>
      fs.read(source, buffer, 0, buffer.length, null, (error, length) => {
        if (error !== null) throw error
        fs.write(target, buffer, 0, length, null, next)
      })
    next()
  },
  'fs-streams'(from, to) {
    fs.createReadStream('', { fd: from.fds[0], highWaterMark: 2048 }).pipe(fs.createWriteStream('', { fd: to.fds[0] }))
  },
}

/** Nanoseconds that all threads of a process have been running, and waiting for a processor (proc_pid_schedstat(5)). */
function schedule(pid) {
  const times = { busy: 0, waited: 0 }
  for (const thread of fs.readdirSync(`/proc/${pid}/task`)) {
    const [busy, waited] = fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')
    times.busy += Number(busy)
    times.waited += Number(waited)
  }
  return times
}

async function main() {
  const near = await createNamespace()
  const far = await createNamespace()
  const left = await openTap({ namespace: near, name: 'left', addresses: ['10.99.0.1/24'], up: true })
  const right = await openTap({ namespace: far, name: 'right', addresses: ['10.99.0.2/24'], up: true })
  taps.push(left, right)
  const run = (namespace, words) => {
    const [file, ...rest] = [...pin, join(programs, 'blast'), ...words]
    return namespace.spawn(file, rest, { stdio: ['ignore', 'ignore', 'inherit'] })
  }
  children.push(run(far, ['sink', '9000']))
  process.on('disconnect', async () => {
    for (const child of children) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    // A thread pool that is blocked in read(2) keeps a process from exiting.
    process.kill(process.pid, 'SIGKILL')
  })

  if (design.startsWith('fs-')) {
    execFileSync(frameloop, ['blocking'], { stdio: ['ignore', 'inherit', 'inherit', left.fds[0], right.fds[0]] })
  }
  pumps[design](left, right)
  if (design !== 'c') pumps[design](right, left)

  const received = () => {
    const line = far.run(() => fs.readFileSync('/proc/thread-self/net/dev', 'latin1')).match(/^ *right: *\d+ +(\d+)/m)
    return Number(line[1])
  }
  const pump = design === 'c' ? children.at(-1).pid : process.pid
  process.on('message', async (milliseconds) => {
    const before = received()
    const start = schedule(pump)
    await once(run(near, ['send', '10.99.0.2', '9000', '18', String(milliseconds)]), 'exit')
    const frames = received() - before
    const end = schedule(pump)
    process.send({ frames, busy: (end.busy - start.busy) / 1e6, waited: (end.waited - start.waited) / 1e6 })
  })
  process.send('ready')
}

await main()
