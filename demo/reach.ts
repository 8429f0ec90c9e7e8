/** Who reaches whom: by the program ping where there is one, by UDP datagrams and their echo where there is not. */
import type { Socket } from 'node:dgram'
import { setTimeout as delay } from 'node:timers/promises'
import type { Namespace } from 'netkit'

/** How many packets are sent. */
export const COUNT = 3

/** The port that echoes: any that takes no privilege. */
const PORT = 7007

/** Milliseconds between two packets, and for an answer. */
const INTERVAL = 200
const PATIENCE = 1000

/** What came of an attempt. */
export interface Reach {
  /** Packets sent. */
  sent: number
  /** Milliseconds from each packet to its reply. */
  times: number[]
  /** Why there was no reply. */
  reason?: string
}

/** Somebody with an address, who can be told to reach another. */
export interface Member {
  label: string
  address: string
  reach(address: string, count: number, signal: AbortSignal): Promise<Reach>
}

/** How reaching is proved. */
export interface Proof {
  /** For the headline. */
  name: string
  /** Why it is not ping. */
  instead?: string
  reach(namespace: Namespace, address: string, count: number, signal: AbortSignal): Promise<Reach>
  /** Makes a namespace answer; resolves to what undoes it. */
  prepare(namespace: Namespace): Promise<() => unknown>
}

/** Looks whether ping works here, by pinging the loopback of a namespace. */
export async function chooseProof(namespace: Namespace): Promise<Proof> {
  try {
    const { stdout, stderr } = await namespace.exec('ping', ['-n', '-c', '1', '127.0.0.1'], { timeout: 3000 })
    if (replies(stdout).length > 0) {
      return { name: 'replies to the program ping', reach: ping, prepare: async () => () => {} }
    }
    return udp(`ping does not work here: ${stderr.trim() || 'no reply from 127.0.0.1'}`)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    return udp(code === 'ENOENT' ? 'ping is not installed' : `ping cannot be run here: ${code ?? error}`)
  }
}

function udp(instead: string): Proof {
  return { name: 'echoes of UDP datagrams', instead, reach: udpEcho, prepare: udpServer }
}

/** The times of the replies that ping has printed, in milliseconds. */
function replies(output: string): number[] {
  return [...output.matchAll(/ bytes from .*\btime[=<]([\d.,]+) ?ms/g)].map(([, time = '']) =>
    Number(time.replace(',', '.')),
  )
}

async function ping(namespace: Namespace, address: string, count: number, signal: AbortSignal): Promise<Reach> {
  const args = ['-n', '-c', String(count), '-i', String(INTERVAL / 1000), '-W', String(PATIENCE / 1000), address]
  const { stdout, stderr } = await namespace.exec('ping', args, { signal, timeout: 10_000 })
  const times = replies(stdout)
  // "ping: connect: Network is unreachable": the last part says why.
  const reason = times.length > 0 ? undefined : (stderr.trim().split(': ').at(-1) ?? '') || 'no reply'
  return { sent: count, times, reason }
}

async function udpServer(namespace: Namespace): Promise<() => unknown> {
  const socket = await namespace.bindDatagram({ type: 'udp4', port: PORT })
  // Whoever asked has gone, or never was there: an echo has nobody to tell.
  socket.on('error', () => {})
  socket.on('message', (data, { port, address }) => socket.send(data, port, address, () => {}))
  return () => socket.close()
}

async function udpEcho(namespace: Namespace, address: string, count: number, signal: AbortSignal): Promise<Reach> {
  const socket = await namespace.bindDatagram({ type: 'udp4' })
  try {
    const times: number[] = []
    for (let i = 0; i < count; i++) {
      if (i > 0) await delay(INTERVAL / 4, undefined, { signal })
      const start = performance.now()
      const outcome = await once(socket, `netkit ${i}`, address, signal)
      if (outcome === undefined) times.push(performance.now() - start)
      else if (outcome !== 'no reply') return { sent: count, times, reason: outcome }
    }
    return { sent: count, times, reason: times.length === 0 ? 'no reply' : undefined }
  } finally {
    socket.close()
  }
}

/** Sends one datagram and waits for its echo. Resolves to what is wrong, or to undefined. */
function once(socket: Socket, text: string, address: string, signal: AbortSignal): Promise<string | undefined> {
  signal.throwIfAborted()
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      clearTimeout(timer)
      socket.off('message', received)
      signal.removeEventListener('abort', stop)
      finish()
    }
    const stop = () => settle(() => reject(signal.reason))
    const timer = setTimeout(() => settle(() => resolve('no reply')), PATIENCE)
    const received = (data: Buffer) => {
      if (data.toString() === text) settle(() => resolve(undefined))
    }
    signal.addEventListener('abort', stop, { once: true })
    socket.on('message', received)
    socket.send(text, PORT, address, (error) => {
      if (error) settle(() => resolve('code' in error ? String(error.code) : error.message))
    })
  })
}

/** The middle one of the times. */
export function median(times: number[]): number {
  const sorted = [...times].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}
