/** Filters with little to say: matchall, basic, fw, bpf (tc-matchall(8), tc-fw(8), tc-bpf(8); linux/pkt_cls.h). */
import { attributeU16, attributeU32, binary, text } from '../../../netlink/attribute.js'
import { headerConstants } from '../../../netlink/header-words.js'
import { type AttributesOf, attributes, nested } from '../../../netlink/table.js'
import { checkBoolean, checkInteger, checkString, typeError, valueError } from '../../../validate.js'
import { actionList } from '../action.js'
import { filterKinds } from '../kinds.js'
import { checkCount } from '../units.js'
import { type WorkPlace, workPlaceFromWire, workPlaceKeys, workPlaceToWire } from './flags.js'

export const matchallAttributes = attributes({
  classId: [1, 'TCA_MATCHALL_CLASSID', attributeU32],
  actions: [2, 'TCA_MATCHALL_ACT', actionList],
  flags: [3, 'TCA_MATCHALL_FLAGS', attributeU32],
  counts: [4, 'TCA_MATCHALL_PCNT', binary],
  padding: [5, 'TCA_MATCHALL_PAD', binary],
})

filterKinds.define({
  kind: 'matchall',
  wire: nested(matchallAttributes),
  keys: workPlaceKeys,
  toWire: (options: WorkPlace, name): AttributesOf<typeof matchallAttributes> => ({
    flags: workPlaceToWire(options, name),
  }),
  fromWire: ({ flags }) => workPlaceFromWire(flags),
})

export const basicAttributes = attributes({
  classId: [1, 'TCA_BASIC_CLASSID', attributeU32],
  matches: [2, 'TCA_BASIC_EMATCHES', binary],
  actions: [3, 'TCA_BASIC_ACT', actionList],
  police: [4, 'TCA_BASIC_POLICE', binary],
  counts: [5, 'TCA_BASIC_PCNT', binary],
  padding: [6, 'TCA_BASIC_PAD', binary],
})

export interface BasicOptions {
  /** A tree of extended matches (TCA_BASIC_EMATCHES), as bytes. Default: everything matches. */
  matches?: Uint8Array
}

filterKinds.define({
  kind: 'basic',
  wire: nested(basicAttributes),
  keys: ['matches'],
  toWire({ matches }: BasicOptions, name): AttributesOf<typeof basicAttributes> {
    if (matches !== undefined && !(matches instanceof Uint8Array))
      throw typeError(`${name}.matches`, 'a Uint8Array', matches)
    return { matches }
  },
  fromWire: ({ matches }) => (matches === undefined ? {} : { matches }),
  // The kernel tells of an empty tree.
  chosen: ['matches'],
})

export const fwAttributes = attributes({
  classId: [1, 'TCA_FW_CLASSID', attributeU32],
  police: [2, 'TCA_FW_POLICE', binary],
  inputLink: [3, 'TCA_FW_INDEV', text],
  actions: [4, 'TCA_FW_ACT', actionList],
  mask: [5, 'TCA_FW_MASK', attributeU32],
})

/** The mark itself is the filter's `handle`. */
export interface FwOptions {
  /** Which bits of the packet's mark are looked at. Default: all. */
  mask?: number
  /** The name of the link that the packet came in by. */
  inputLink?: string
}

filterKinds.define({
  kind: 'fw',
  wire: nested(fwAttributes),
  keys: ['mask', 'inputLink'],
  toWire({ mask, inputLink }: FwOptions, name): AttributesOf<typeof fwAttributes> {
    if (inputLink !== undefined) checkString(inputLink, `${name}.inputLink`)
    return { mask: mask === undefined ? undefined : checkCount(mask, `${name}.mask`), inputLink }
  },
  fromWire: ({ mask, inputLink }) => ({ mask: mask ?? 0xffff_ffff, ...(inputLink === undefined ? {} : { inputLink }) }),
})

export const bpfAttributes = attributes({
  actions: [1, 'TCA_BPF_ACT', actionList],
  police: [2, 'TCA_BPF_POLICE', binary],
  classId: [3, 'TCA_BPF_CLASSID', attributeU32],
  instructionCount: [4, 'TCA_BPF_OPS_LEN', attributeU16],
  instructions: [5, 'TCA_BPF_OPS', binary],
  fd: [6, 'TCA_BPF_FD', attributeU32],
  name: [7, 'TCA_BPF_NAME', text],
  ownFlags: [8, 'TCA_BPF_FLAGS', attributeU32],
  flags: [9, 'TCA_BPF_FLAGS_GEN', attributeU32],
  tag: [10, 'TCA_BPF_TAG', binary],
  id: [11, 'TCA_BPF_ID', attributeU32],
})

const { TCA_BPF_FLAG_ACT_DIRECT } = headerConstants({ TCA_BPF_FLAG_ACT_DIRECT: 1 })

export interface BpfOptions extends WorkPlace {
  /** The descriptor of a loaded program (BPF_PROG_TYPE_SCHED_CLS). This or `instructions`. Only written: `id` and `tag` are read. */
  fd?: number
  /** The program's name, for those who read. */
  name?: string
  /** A classic BPF program: structs sock_filter of 8 bytes (linux/filter.h). What it returns is the class, -1 `classId`'s. */
  instructions?: Uint8Array
  /** What the program returns is the verdict. With `fd`. */
  directAction?: boolean
}

filterKinds.define({
  kind: 'bpf',
  wire: nested(bpfAttributes),
  keys: ['fd', 'name', 'instructions', 'directAction', ...workPlaceKeys],
  toWire(options: BpfOptions, name): AttributesOf<typeof bpfAttributes> {
    const { fd, instructions, directAction } = options
    if (fd === undefined && instructions === undefined) {
      throw typeError(`${name}.fd`, 'the descriptor of a program, where there are no instructions', fd)
    }
    if (fd !== undefined && instructions !== undefined) {
      throw valueError(`${name}.instructions`, instructions, 'and fd exclude each other')
    }
    if (fd !== undefined) checkInteger(fd, `${name}.fd`, 0, 0x7fff_ffff)
    if (instructions !== undefined) {
      if (!(instructions instanceof Uint8Array)) throw typeError(`${name}.instructions`, 'a Uint8Array', instructions)
      if (instructions.length === 0 || instructions.length % 8 !== 0) {
        throw valueError(`${name}.instructions`, instructions, 'is not made of structs of 8 bytes')
      }
    }
    if (options.name !== undefined) checkString(options.name, `${name}.name`)
    if (directAction !== undefined) checkBoolean(directAction, `${name}.directAction`)
    return {
      instructionCount: instructions === undefined ? undefined : instructions.length / 8,
      instructions,
      fd,
      // The kernel refuses a program without a name.
      name: fd === undefined ? options.name : (options.name ?? 'netkit'),
      ownFlags: directAction === true ? TCA_BPF_FLAG_ACT_DIRECT : undefined,
      flags: workPlaceToWire(options, name),
    }
  },
  fromWire({ name, instructions, ownFlags = 0, flags, tag, id }) {
    return {
      ...(name === undefined ? {} : { name }),
      ...(instructions === undefined ? {} : { instructions }),
      directAction: (ownFlags & TCA_BPF_FLAG_ACT_DIRECT) !== 0,
      ...(id === undefined ? {} : { id }),
      ...(tag === undefined ? {} : { tag: Buffer.from(tag).toString('hex') }),
      ...workPlaceFromWire(flags),
    }
  },
  // A program is not told by its descriptor.
  derived: { fd: ['name'] },
})

declare module '../filter.js' {
  interface FilterKinds {
    matchall: WorkPlace
    basic: BasicOptions
    fw: FwOptions
    bpf: BpfOptions
  }
}
