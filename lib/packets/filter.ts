/** Filters of packets: classic BPF programs, made of plain data or given as they are. */
import { errnoNumber } from '../errno.js'
import { namedError, systemError } from '../errors.js'
import { native } from '../native.js'
import { checkBoolean, checkInteger, checkOptions, typeError, valueError } from '../validate.js'
import { FrameBatch, partsOf } from './batch.js'
import { expressionOf, type PacketCondition } from './filter/conditions.js'
import { ETHERNET_HEADER } from './filter/ethernet-tests.js'
import { compile } from './filter/expression.js'
import {
  bpf,
  decodeInstructions,
  encodeInstructions,
  type FilterInstruction,
  instructionText,
} from './filter/instructions.js'

/** How a condition is made a program. */
export interface PacketFilterOptions {
  /** True for IP packets without an Ethernet header, as a tun has them. Default: false. */
  layer3?: boolean
  /** How many bytes of a frame that matches a packet socket or a capture keeps: from 1 to 4,294,967,295. Default: 262,144, which is all. */
  snapshotLength?: number
}

/** What `packetFilter` takes: conditions, or a program as instructions or as an array of struct sock_filter (linux/filter.h). */
export type PacketFilterInput = PacketFilter | PacketCondition | readonly FilterInstruction[] | Uint8Array

/** What a filter is to be, for errors: people write tcpdump's expressions first. */
export const A_FILTER = "conditions, as { protocol: 'tcp', port: 80 }, or a BPF program"

const INSTRUCTION = 8
const KEPT = 262_144
const instructionKeys = ['code', 'jt', 'jf', 'k']

/** For one frame at a time. */
const span = new Uint32Array(2)
const result = new Uint32Array(1)
/** For batches; grows with them. */
let results = new Uint32Array(256)

/** A classic BPF program that the kernel takes. It never changes. */
export class PacketFilter {
  /** The instructions, at most 4,096. */
  readonly instructions: readonly FilterInstruction[]
  readonly #bytes: Buffer

  /** @internal */
  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.instructions = Object.freeze(decodeInstructions(bytes).map((instruction) => Object.freeze(instruction)))
  }

  /** A copy of the program as an array of struct sock_filter, as SO_ATTACH_FILTER takes it (socket(7)): 8 bytes an instruction. */
  get bytes(): Buffer {
    return Buffer.from(this.#bytes)
  }

  /**
   * Whether the frame passes, which is the `length` bytes from `offset` on. Default: the whole array. Nothing is copied, so that the
   * frames of a batch can be looked at where they lie: `filter.matches(batch.data, batch.offset(i), batch.size(i))`.
   *
   * @throws RangeError ERR_OUT_OF_RANGE when the frame leaves the array
   * @throws NetkitError EOPNOTSUPP when the program asks for what only the kernel has, as the interface or the mark of a packet
   */
  matches(frame: Uint8Array, offset = 0, length = frame.length - offset): boolean {
    return this.run(frame, offset, length) !== 0
  }

  /** The same, as how many bytes of the frame to keep: 0 for none; it may be more than there are. */
  run(frame: Uint8Array, offset = 0, length = frame.length - offset): number {
    if (!(frame instanceof Uint8Array)) throw typeError('frame', 'a Buffer or Uint8Array', frame)
    checkInteger(offset, 'offset', 0, frame.length)
    checkInteger(length, 'length', 0, frame.length - offset)
    span[0] = offset
    span[1] = length
    this.#run(frame, span, 1, result)
    return result[0] as number
  }

  /**
   * The frames of a batch that pass, as a batch of the same turn, with one native call for all: `other.writeBatch(filter.select(batch))`.
   *
   * @throws Error ERR_INVALID_STATE when the batch's turn is over; and as `matches` does
   */
  select(batch: FrameBatch): FrameBatch {
    if (!(batch instanceof FrameBatch)) throw typeError('batch', 'a FrameBatch', batch)
    const { slab, spans } = partsOf(batch)
    const { length } = batch
    if (results.length < length) results = new Uint32Array(length)
    const numbers = new Uint32Array(this.#run(slab, spans, length, results))
    for (let i = 0, to = 0; to < numbers.length; i++) if (results[i] !== 0) numbers[to++] = i
    return batch.select(numbers)
  }

  /** How many frames pass. */
  #run(slab: Uint8Array, spans: Uint32Array, count: number, into: Uint32Array): number {
    const matched = native.runFilter(this.#bytes, slab, spans, count, into)
    if (matched >= 0) return matched
    if (matched === -errnoNumber('EOPNOTSUPP'))
      throw namedError('EOPNOTSUPP', 'filter', 'the filter asks for what only the kernel knows of a packet')
    throw systemError(matched, 'filter', 'cannot run the filter')
  }

  /** The program as `tcpdump -d` shows it, a line an instruction. */
  toString(): string {
    return this.instructions.map(instructionText).join('\n')
  }
}

/**
 * Makes a filter of conditions:
 *
 *     packetFilter({ any: [{ protocol: 'tcp', port: 80 }, { arp: true }], not: { source: '10.0.0.0/8' } })
 *
 * Everything that one object says must hold; `all`, `any` and `not` combine objects. Or takes a program that was made elsewhere, and
 * checks it as the kernel does (bpf_check_classic() of net/core/filter.c); then there are no options.
 *
 * @throws TypeError or RangeError with code ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE or ERR_OUT_OF_RANGE for conditions that there
 * are not, for a program that the kernel would refuse (the message has the instruction), and for conditions that take more than 4,096
 * instructions
 */
export function packetFilter(input: PacketFilterInput, options: PacketFilterOptions = {}): PacketFilter {
  checkOptions(options, 'options', ['layer3', 'snapshotLength'])
  const { layer3 = false, snapshotLength = KEPT } = options
  checkBoolean(layer3, 'options.layer3')
  checkInteger(snapshotLength, 'options.snapshotLength', 1, 0xffff_ffff)
  const isProgram = input instanceof PacketFilter || input instanceof Uint8Array || Array.isArray(input)
  if (isProgram && Object.keys(options).length > 0)
    throw valueError('options', options, 'a program is taken as it is: only conditions have options')
  if (input instanceof PacketFilter) return input
  if (input instanceof Uint8Array) return checked(bytesOf(input))
  if (Array.isArray(input)) return checked(encodeInstructions(instructionsOf(input)))
  if (typeof input !== 'object' || input === null) throw typeError('filter', A_FILTER, input)
  const scope = { layer3, tags: 0, mayBeBeside: true, depth: 0 }
  const expression = expressionOf(input as PacketCondition, 'filter', scope)
  // The kernel hands no frame over that is shorter than its Ethernet header; a shorter one ends the program, and is dropped.
  return checked(encodeInstructions(compile(expression, snapshotLength, layer3 ? 1 : ETHERNET_HEADER)))
}

function bytesOf(program: Uint8Array): Buffer {
  if (program.length % INSTRUCTION !== 0)
    throw valueError('filter', program, `an instruction has ${INSTRUCTION} bytes, and ${program.length} is no multiple`)
  return Buffer.from(program)
}

function instructionsOf(program: readonly FilterInstruction[]): readonly FilterInstruction[] {
  program.forEach((instruction, i) => {
    const name = `filter[${i}]`
    checkOptions(instruction, name, instructionKeys)
    checkInteger(instruction.code, `${name}.code`, 0, 0xffff)
    checkInteger(instruction.jt, `${name}.jt`, 0, 0xff)
    checkInteger(instruction.jf, `${name}.jf`, 0, 0xff)
    checkInteger(instruction.k, `${name}.k`, 0, 0xffff_ffff)
  })
  return program
}

function checked(bytes: Buffer): PacketFilter {
  const wrong = native.checkFilter(bytes)
  if (wrong === 0) return new PacketFilter(bytes)
  const at = -1 - wrong
  const count = bytes.length / INSTRUCTION
  if (at < count) {
    const [instruction] = decodeInstructions(bytes.subarray(INSTRUCTION * at, INSTRUCTION * (at + 1)))
    const text = instruction === undefined ? '' : instructionText(instruction, at).trimEnd()
    throw valueError('filter', `${text}`, `the kernel does not take instruction ${at}`)
  }
  const isWrong = count === 0 || count > bpf.BPF_MAXINSNS
  throw valueError(
    'filter',
    bytes,
    isWrong ? `a program has from 1 to ${bpf.BPF_MAXINSNS} instructions, not ${count}` : 'a program ends with a ret',
  )
}
