/** Who reaches whom: by the program ping where there is one, by UDP datagrams and their echo where there is not. */
import { setTimeout as delay } from 'node:timers/promises'

/** @typedef {import('netkit').Namespace} Namespace */

/** How many packets are sent. */
export const COUNT = 3

/** The port that echoes: any that takes no privilege. */
const PORT = 7007

/** Milliseconds between two packets, and for an answer. */
const INTERVAL = 200
const PATIENCE = 1000

/**
 * What came of an attempt.
 *
 * @typedef {object} Reach
 * @property {number} sent packets sent
 * @property {number[]} times milliseconds from each packet to its reply
 * @property {string} [reason] why there was no reply
 */

/**
 * Somebody with an address, who can be told to reach another.
 *
 * @typedef {object} Member
 * @property {string} label
 * @property {string} address
 * @property {(address: string, count: number, signal: AbortSignal) => Promise<Reach>} reach
 */

/**
 * How reaching is proved.
 *
 * @typedef {object} Proof
 * @property {string} name for the headline
 * @property {string} [instead] why it is not ping
 * @property {(namespace: Namespace, address: string, count: number, signal: AbortSignal) => Promise<Reach>} reach
 * @property {(namespace: Namespace) => Promise<() => unknown>} prepare
 *   makes a namespace answer; resolves to what undoes it
 */

/**
 * Looks whether ping works here, by pinging the loopback of a namespace.
 *
 * @param {Namespace} namespace
 * @returns {Promise<Proof>}
 */
export async function chooseProof(namespace) {
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

/** @param {string} instead @returns {Proof} */
function udp(instead) {
  return { name: 'echoes of UDP datagrams', instead, reach: udpEcho, prepare: udpServer }
}

/** The times of the replies that ping has printed, in milliseconds. @param {string} output */
function replies(output) {
  return [...output.matchAll(/ bytes from .*\btime[=<]([\d.,]+) ?ms/g)].map(([, time = '']) =>
    Number(time.replace(',', '.')),
  )
}

/** @type {Proof['reach']} */
async function ping(namespace, address, count, signal) {
  const args = ['-n', '-c', String(count), '-i', String(INTERVAL / 1000), '-W', String(PATIENCE / 1000), address]
  const { stdout, stderr } = await namespace.exec('ping', args, { signal, timeout: 10_000 })
  const times = replies(stdout)
  // "ping: connect: Network is unreachable": the last part says why.
  const reason = times.length > 0 ? undefined : (stderr.trim().split(': ').at(-1) ?? '') || 'no reply'
  return { sent: count, times, reason }
}

/** @type {Proof['prepare']} */
async function udpServer(namespace) {
  const socket = await namespace.bindDatagram({ type: 'udp4', port: PORT })
  // Whoever asked has gone, or never was there: an echo has nobody to tell.
  socket.on('error', () => {})
  socket.on('message', (data, { port, address }) => socket.send(data, port, address, () => {}))
  return () => socket.close()
}

/** @type {Proof['reach']} */
async function udpEcho(namespace, address, count, signal) {
  const socket = await namespace.bindDatagram({ type: 'udp4' })
  try {
    const times = []
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

/**
 * Sends one datagram and waits for its echo. Resolves to what is wrong, or to undefined.
 *
 * @param {import('node:dgram').Socket} socket @param {string} text @param {string} address @param {AbortSignal} signal
 * @returns {Promise<string | undefined>}
 */
function once(socket, text, address, signal) {
  signal.throwIfAborted()
  return new Promise((resolve, reject) => {
    /** @param {() => void} finish */
    const settle = (finish) => {
      clearTimeout(timer)
      socket.off('message', received)
      signal.removeEventListener('abort', stop)
      finish()
    }
    const stop = () => settle(() => reject(signal.reason))
    const timer = setTimeout(() => settle(() => resolve('no reply')), PATIENCE)
    /** @param {Buffer} data */
    const received = (data) => {
      if (data.toString() === text) settle(() => resolve(undefined))
    }
    signal.addEventListener('abort', stop, { once: true })
    socket.on('message', received)
    socket.send(text, PORT, address, (error) => {
      if (error) settle(() => resolve('code' in error ? String(error.code) : error.message))
    })
  })
}

/** The middle one of the times. @param {number[]} times */
export function median(times) {
  const sorted = [...times].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}
