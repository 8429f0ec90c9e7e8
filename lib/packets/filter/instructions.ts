/** Classic BPF: instructions, their bytes, and their text as tcpdump shows it (linux/filter.h, Documentation/networking/filter.rst). */
import { headerConstants } from '../../netlink/header-words.js'

/** The parts of an instruction's code, and where ancillary data begins. */
export const bpf = headerConstants({
  BPF_LD: 0x00,
  BPF_LDX: 0x01,
  BPF_ST: 0x02,
  BPF_STX: 0x03,
  BPF_ALU: 0x04,
  BPF_JMP: 0x05,
  BPF_RET: 0x06,
  BPF_MISC: 0x07,
  BPF_W: 0x00,
  BPF_H: 0x08,
  BPF_B: 0x10,
  BPF_IMM: 0x00,
  BPF_ABS: 0x20,
  BPF_IND: 0x40,
  BPF_MEM: 0x60,
  BPF_LEN: 0x80,
  BPF_MSH: 0xa0,
  BPF_ADD: 0x00,
  BPF_SUB: 0x10,
  BPF_MUL: 0x20,
  BPF_DIV: 0x30,
  BPF_OR: 0x40,
  BPF_AND: 0x50,
  BPF_LSH: 0x60,
  BPF_RSH: 0x70,
  BPF_NEG: 0x80,
  BPF_MOD: 0x90,
  BPF_XOR: 0xa0,
  BPF_JA: 0x00,
  BPF_JEQ: 0x10,
  BPF_JGT: 0x20,
  BPF_JGE: 0x30,
  BPF_JSET: 0x40,
  BPF_K: 0x00,
  BPF_X: 0x08,
  BPF_A: 0x10,
  BPF_TAX: 0x00,
  BPF_TXA: 0x80,
  BPF_MAXINSNS: 4096,
  SKF_AD_OFF: -0x1000,
})

/** What the kernel knows of a packet beside its bytes, at these places behind SKF_AD_OFF. */
export const ancillary = headerConstants({
  SKF_AD_PROTOCOL: 0,
  SKF_AD_PKTTYPE: 4,
  SKF_AD_IFINDEX: 8,
  SKF_AD_NLATTR: 12,
  SKF_AD_NLATTR_NEST: 16,
  SKF_AD_MARK: 20,
  SKF_AD_QUEUE: 24,
  SKF_AD_HATYPE: 28,
  SKF_AD_RXHASH: 32,
  SKF_AD_CPU: 36,
  SKF_AD_ALU_XOR_X: 40,
  SKF_AD_VLAN_TAG: 44,
  SKF_AD_VLAN_TAG_PRESENT: 48,
  SKF_AD_PAY_OFFSET: 52,
  SKF_AD_RANDOM: 56,
  SKF_AD_VLAN_TPID: 60,
})

/** One instruction: struct sock_filter. */
export interface FilterInstruction {
  /** What to do: a sum of BPF_… constants. */
  readonly code: number
  /** How many instructions to skip when a comparison holds. */
  readonly jt: number
  /** How many when it does not. */
  readonly jf: number
  /** The operand, 32 bits. */
  readonly k: number
}

/** An instruction that does not compare. */
export const step = (code: number, k = 0): FilterInstruction => ({ code, jt: 0, jf: 0, k: k >>> 0 })

const SIZE = 8

/** The bytes of a program: an array of struct sock_filter, in the machine's byte order, which is little-endian wherever netkit runs. */
export function encodeInstructions(instructions: readonly FilterInstruction[]): Buffer {
  const bytes = Buffer.alloc(SIZE * instructions.length)
  instructions.forEach(({ code, jt, jf, k }, i) => {
    bytes.writeUInt16LE(code, SIZE * i)
    bytes.writeUInt8(jt, SIZE * i + 2)
    bytes.writeUInt8(jf, SIZE * i + 3)
    bytes.writeUInt32LE(k, SIZE * i + 4)
  })
  return bytes
}

/** The same the other way. The length is a multiple of 8. */
export function decodeInstructions(bytes: Uint8Array): FilterInstruction[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Array.from({ length: bytes.length / SIZE }, (_, i) => ({
    code: view.getUint16(SIZE * i, true),
    jt: view.getUint8(SIZE * i + 2),
    jf: view.getUint8(SIZE * i + 3),
    k: view.getUint32(SIZE * i + 4, true),
  }))
}

/** How tcpdump calls ancillary data. */
const ancillaryNames: Readonly<Record<number, string>> = {
  [ancillary.SKF_AD_PROTOCOL]: 'proto',
  [ancillary.SKF_AD_PKTTYPE]: 'type',
  [ancillary.SKF_AD_IFINDEX]: 'ifidx',
  [ancillary.SKF_AD_NLATTR]: 'nla',
  [ancillary.SKF_AD_NLATTR_NEST]: 'nlan',
  [ancillary.SKF_AD_MARK]: 'mark',
  [ancillary.SKF_AD_QUEUE]: 'queue',
  [ancillary.SKF_AD_HATYPE]: 'hatype',
  [ancillary.SKF_AD_RXHASH]: 'rxhash',
  [ancillary.SKF_AD_CPU]: 'cpu',
  [ancillary.SKF_AD_ALU_XOR_X]: 'xor_x',
  [ancillary.SKF_AD_VLAN_TAG]: 'vlan_tci',
  [ancillary.SKF_AD_VLAN_TAG_PRESENT]: 'vlanp',
  [ancillary.SKF_AD_PAY_OFFSET]: 'poff',
  [ancillary.SKF_AD_RANDOM]: 'rand',
  [ancillary.SKF_AD_VLAN_TPID]: 'vlan_tpid',
}

const sizeLetters: Readonly<Record<number, string>> = { [bpf.BPF_W]: '', [bpf.BPF_H]: 'h', [bpf.BPF_B]: 'b' }
const operators = ['add', 'sub', 'mul', 'div', 'or', 'and', 'lsh', 'rsh', 'neg', 'mod', 'xor']
const comparisons = ['ja', 'jeq', 'jgt', 'jge', 'jset']

const hex = (k: number) => `#0x${k.toString(16)}`
const signed = (k: number) => k | 0

function loadWords(code: number, k: number): [name: string, operand: string] | undefined {
  const isIndex = (code & 7) === bpf.BPF_LDX
  const name = `ld${isIndex ? 'x' : ''}${sizeLetters[code & 0x18]}`
  switch (code & 0xe0) {
    case bpf.BPF_IMM:
      return [name, hex(k)]
    case bpf.BPF_ABS:
      return [name, `[${ancillaryNames[signed(k) - bpf.SKF_AD_OFF] ?? signed(k)}]`]
    case bpf.BPF_IND:
      return [name, `[x + ${signed(k)}]`]
    case bpf.BPF_MEM:
      return [name, `M[${k}]`]
    case bpf.BPF_LEN:
      return [name, '#pktlen']
    case bpf.BPF_MSH:
      return [name, `4*([${signed(k)}]&0xf)`]
    default:
      return undefined
  }
}

/** The name of an instruction that the kernel takes, and its operand. */
function words({ code, k }: FilterInstruction, at: number): [name: string, operand: string] | undefined {
  const isX = (code & bpf.BPF_X) !== 0
  const operation = (code >> 4) & 15
  switch (code & 7) {
    case bpf.BPF_LD:
    case bpf.BPF_LDX:
      return loadWords(code, k)
    case bpf.BPF_ST:
      return ['st', `M[${k}]`]
    case bpf.BPF_STX:
      return ['stx', `M[${k}]`]
    case bpf.BPF_ALU: {
      const name = operators[operation]
      if (name === undefined || name === 'neg') return name === undefined ? undefined : [name, '']
      const isBits = name === 'and' || name === 'or' || name === 'xor'
      return [name, isX ? 'x' : isBits ? hex(k) : `#${signed(k)}`]
    }
    case bpf.BPF_JMP: {
      const name = comparisons[operation]
      if (name === undefined) return undefined
      return [name, name === 'ja' ? `${at + 1 + k}` : isX ? 'x' : hex(k)]
    }
    case bpf.BPF_RET:
      return ['ret', (code & 0x18) === bpf.BPF_A ? '' : `#${signed(k)}`]
    default:
      return [code === (bpf.BPF_MISC | bpf.BPF_TAX) ? 'tax' : 'txa', '']
  }
}

/** One line of `tcpdump -d`. */
export function instructionText(instruction: FilterInstruction, at: number): string {
  const [name, operand] = words(instruction, at) ?? ['unimp', `0x${instruction.code.toString(16)}`]
  const line = `(${String(at).padStart(3, '0')}) ${name.padEnd(8)} `
  if ((instruction.code & 7) !== bpf.BPF_JMP || name === 'ja') return line + operand
  return `${line}${operand.padEnd(16)} jt ${at + 1 + instruction.jt}\tjf ${at + 1 + instruction.jf}`
}
