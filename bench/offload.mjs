// How fast frames are cut, joined and added up in native code, on one core: gigabytes a second of payload, the best of several
// rounds (milliseconds=N each). No interface and no other program has a part in it.
import { native } from '../dist/native.js'

const KINDS = [
  { name: 'TCP, IPv4', ip: 4, protocol: 6, type: 1 },
  { name: 'TCP, IPv6', ip: 6, protocol: 6, type: 4 },
  { name: 'UDP, IPv4', ip: 4, protocol: 17, type: 5 },
  { name: 'UDP, IPv6', ip: 6, protocol: 17, type: 5 },
]
const SIZE = 1400
const COUNT = 45

/** One large frame of COUNT segments, and its offload header. */
function large({ ip, protocol, type }) {
  const transport = 14 + (ip === 4 ? 20 : 40)
  const payload = transport + (protocol === 6 ? 20 : 8)
  const frame = Buffer.alloc(payload + COUNT * SIZE, 0x5a)
  const length = frame.length - transport
  frame.fill(0, 0, payload)
  frame.writeUInt16BE(ip === 4 ? 0x0800 : 0x86dd, 12)
  if (ip === 4) {
    frame.set([0x45, 0, (20 + length) >> 8, (20 + length) & 255, 0, 1, 0x40, 0, 64, protocol], 14)
    frame.set([10, 0, 0, 1, 10, 0, 0, 2], 26)
  } else {
    frame.set([0x60, 0, 0, 0, length >> 8, length & 255, protocol, 64, 0xfd], 14)
    frame.set([0xfd], 38)
  }
  if (protocol === 6) frame.set([0x50, 0x10], transport + 12)
  else frame.writeUInt16BE(length, transport + 4)
  const offset = protocol === 6 ? 16 : 6
  const addresses = ip === 4 ? frame.subarray(26, 34) : frame.subarray(22, 54)
  frame.writeUInt16BE(
    native.internetSum(native.internetSum(0, addresses), Buffer.from([0, protocol, length >> 8, length & 255])),
    transport + offset,
  )
  const header = Buffer.alloc(10)
  header.set([1, type])
  for (const [i, value] of [payload, SIZE, transport, offset].entries()) header.writeUInt16LE(value, 2 + 2 * i)
  return { frame, header }
}

/** Bytes of payload a nanosecond, of the best round. */
function rate(bytes, milliseconds, work) {
  let best = 0
  for (let round = 0; round < 7; round++) {
    const begin = process.hrtime.bigint()
    let times = 0
    let elapsed = 0
    for (; elapsed < (milliseconds * 1e6) / 7; times++) {
      work()
      elapsed = Number(process.hrtime.bigint() - begin)
    }
    best = Math.max(best, (times * bytes) / elapsed)
  }
  return best.toFixed(1).padStart(8)
}

export async function run({ milliseconds = 300 }) {
  const cut = Buffer.alloc(1 << 20)
  const joined = Buffer.alloc(1 << 20)
  const [spans, found] = [new Uint32Array(4096), new Uint32Array(4096)]
  console.log('GB/s          cut    join')
  for (const kind of KINDS) {
    const { frame, header } = large(kind)
    const segment = () => native.segmentFrame(frame, header, false, cut, 0, spans)
    const coalesce = () => native.coalesceFrames(cut, spans, COUNT, false, 0x6f, joined, 0, found)
    if (segment() !== COUNT || coalesce() !== 1) throw new Error(`${kind.name} is not cut or joined`)
    console.log(kind.name, rate(COUNT * SIZE, milliseconds, segment), rate(COUNT * SIZE, milliseconds, coalesce))
  }
  console.log(
    'checksum ',
    rate(64_000, milliseconds, () => native.internetSum(0, cut.subarray(0, 64_000))),
  )
}
