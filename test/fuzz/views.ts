/** Views of packets: what a frame says never leads beyond its end, and nothing outside of it is changed. */
import { deepStrictEqual } from 'node:assert'
import { changers, fields, type Reader, readers } from '../support/views.js'
import type { FuzzTarget } from './target.js'

const AROUND = 64

/** The bytes in the middle of others. */
function surrounded(input: Uint8Array, poison: number): { memory: Buffer; frame: Buffer } {
  const memory = Buffer.alloc(input.length + 2 * AROUND, poison)
  memory.set(input, AROUND)
  return { memory, frame: memory.subarray(AROUND, AROUND + input.length) }
}

/** What it returns, or that it is a RangeError; whatever else is thrown is a mistake. */
function outcome(call: () => unknown): unknown {
  try {
    return call()
  } catch (error) {
    if (error instanceof RangeError) return 'RangeError'
    throw error
  }
}

/** The same with other bytes around it; and those stay what they are. */
function inside(name: string, input: Uint8Array, call: Reader, offset: number): void {
  const [first, second] = [0, 0xff].map((poison) => {
    const { memory, frame } = surrounded(input, poison)
    const result = outcome(() => call(frame, offset))
    const outer = Buffer.concat([memory.subarray(0, AROUND), memory.subarray(-AROUND)])
    if (!outer.every((byte) => byte === poison)) throw new Error(`${name} has changed what is not the frame's`)
    return { result, frame: frame.toString('hex') }
  })
  deepStrictEqual(first, second, `${name} has looked at what is not the frame's`)
}

const header = '020000000002020000000001'
const seeds = [
  // ARP, UDP in IPv4 with a VLAN tag, TCP in IPv6, ICMP in IPv4.
  `${header}08060001080006040001020000000001 0a000001 000000000000 0a000002`,
  `${header}8100a0050800 4500001e000040004011 26cb 0a000001 0a000002 00350050000a0000 6869`,
  `${header}86dd 60000000001406 40 fd000000000000000000000000000001 fd000000000000000000000000000002 0050c0000000000100000002501001000000 0000`,
  `${header}0800 46000020000000004001 0000 0a000001 0a000002 94040000 0800000000010001`,
].map((text) => Buffer.from(text.replaceAll(' ', ''), 'hex'))

export const targets: FuzzTarget[] = [
  {
    name: 'views',
    seeds,
    numbers: [0x0800, 0x0806, 0x86dd, 0x8100, 0x88a8],
    words: [Buffer.from([0x45, 0, 0, 20]), Buffer.from([0x60, 0, 0, 0]), Buffer.from([0x81, 0, 0, 1])],
    run(input) {
      for (const offset of [0, 14, 18, 34, input.length - 1, input.length]) {
        if (offset < 0) continue
        for (const [name, read] of readers) inside(name, input, read, offset)
        for (const [name, change] of changers) inside(name, input, change, offset)
        // What a setter is given back is what its getter said, and then nothing is changed.
        for (const { name, read, write } of fields) {
          const { frame } = surrounded(input, 0)
          const value = outcome(() => read(frame, offset))
          if (value === 'RangeError') continue
          inside(name, input, (buffer) => write(buffer, offset, value as never), offset)
        }
      }
    },
  },
]
