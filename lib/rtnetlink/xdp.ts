/** XDP: a BPF program that sees a link's frames before the kernel's network stack does (ip-link(8); IFLA_XDP, linux/if_link.h). */
import { attributeS32, attributeU8, attributeU32, words } from '../netlink/attribute.js'
import { headerConstants, headerWords } from '../netlink/header-words.js'
import { type AttributesOf, attributes } from '../netlink/table.js'
import { checkBoolean, checkInteger, checkOneOf, checkOptions, valueError } from '../validate.js'

const { XDP_FLAGS_UPDATE_IF_NOEXIST, XDP_FLAGS_REPLACE } = headerConstants({
  XDP_FLAGS_UPDATE_IF_NOEXIST: 1,
  XDP_FLAGS_REPLACE: 16,
})

/** Where a program runs: in the driver, in the kernel for any driver, in the hardware (XDP_FLAGS_…). */
const modeFlags = headerWords(
  'XDP_FLAGS_',
  { generic: 2, driver: 4, offload: 8 },
  { generic: 'XDP_FLAGS_SKB_MODE', driver: 'XDP_FLAGS_DRV_MODE', offload: 'XDP_FLAGS_HW_MODE' },
)

export type XdpMode = keyof typeof modeFlags

/** What is attached, XDP_ATTACHED_… */
const attachedModes = headerWords(
  'XDP_ATTACHED_',
  { none: 0, driver: 1, generic: 2, offload: 3, multi: 4 },
  { driver: 'XDP_ATTACHED_DRV', generic: 'XDP_ATTACHED_SKB', offload: 'XDP_ATTACHED_HW' },
)

export const xdpAttributes = attributes({
  fd: [1, 'IFLA_XDP_FD', attributeS32],
  attached: [2, 'IFLA_XDP_ATTACHED', words(attributeU8, attachedModes)],
  flags: [3, 'IFLA_XDP_FLAGS', attributeU32],
  programId: [4, 'IFLA_XDP_PROG_ID', attributeU32],
  driverProgramId: [5, 'IFLA_XDP_DRV_PROG_ID', attributeU32],
  genericProgramId: [6, 'IFLA_XDP_SKB_PROG_ID', attributeU32],
  offloadProgramId: [7, 'IFLA_XDP_HW_PROG_ID', attributeU32],
  expectedFd: [8, 'IFLA_XDP_EXPECTED_FD', attributeS32],
})

/** The programs that are attached to a link. */
export interface XdpState {
  /** 'multi': one in each of several modes. */
  mode: XdpMode | 'multi' | number
  /** The kernel's id of each program, by its mode. */
  programs: { [mode in XdpMode]?: number }
}

export interface XdpOptions {
  /** A descriptor of a loaded program of type BPF_PROG_TYPE_XDP (bpf(2)); it stays the caller's. */
  fd: number
  /** Default: the driver's own if it has one, else 'generic'. */
  mode?: XdpMode
  /** Rejects with EBUSY when there is a program already. Default: false, which puts this one in its place. */
  ifNoneAttached?: boolean
  /** A descriptor of the program that must be the one attached now: rejects with EEXIST when it is not (Linux 5.7). */
  replace?: number
}

export interface XdpDetachOptions {
  /** Only this mode's program. Default: all. */
  mode?: XdpMode
  /** As of attaching. */
  expected?: number
}

export function readXdp(xdp: AttributesOf<typeof xdpAttributes> | undefined): XdpState | undefined {
  const { attached = 'none', programId, driverProgramId, genericProgramId, offloadProgramId } = xdp ?? {}
  if (attached === 'none') return undefined
  const programs: XdpState['programs'] = {}
  const ids = { driver: driverProgramId, generic: genericProgramId, offload: offloadProgramId }
  for (const [mode, id] of Object.entries(ids)) if (id !== undefined) programs[mode as XdpMode] = id
  // Kernels before 4.20 give only the one.
  if (programId !== undefined && Object.hasOwn(modeFlags, attached)) programs[attached as XdpMode] ??= programId
  return { mode: attached, programs }
}

/** The attribute that attaches a program. Throws ERR_INVALID_ARG_… */
export function attachAttribute(options: XdpOptions): AttributesOf<typeof xdpAttributes> {
  checkOptions(options, 'options', ['fd', 'mode', 'ifNoneAttached', 'replace'])
  const { fd, mode, ifNoneAttached = false, replace } = options
  checkInteger(fd, 'options.fd', 0, 0x7fff_ffff)
  if (mode !== undefined) checkMode(mode)
  checkBoolean(ifNoneAttached, 'options.ifNoneAttached')
  if (replace !== undefined) checkInteger(replace, 'options.replace', 0, 0x7fff_ffff)
  if (ifNoneAttached && replace !== undefined) {
    throw valueError('options.replace', replace, 'is of no use with ifNoneAttached')
  }
  const exclusive = ifNoneAttached ? XDP_FLAGS_UPDATE_IF_NOEXIST : 0
  return { fd, ...flagsAndExpected(mode, exclusive, replace) }
}

/** The attributes that detach the programs of a link, one request each. Throws ERR_INVALID_ARG_… */
export function detachAttributes(
  options: XdpDetachOptions,
  state: XdpState | undefined,
): AttributesOf<typeof xdpAttributes>[] {
  const { mode, expected } = options
  const modes = mode === undefined ? (Object.keys(state?.programs ?? {}) as XdpMode[]) : [mode]
  return modes.map((one) => ({ fd: -1, ...flagsAndExpected(one, 0, expected) }))
}

export function checkDetach(options: XdpDetachOptions): void {
  checkOptions(options, 'options', ['mode', 'expected'])
  if (options.mode !== undefined) checkMode(options.mode)
  if (options.expected !== undefined) checkInteger(options.expected, 'options.expected', 0, 0x7fff_ffff)
}

function checkMode(mode: unknown): void {
  checkOneOf(mode, 'options.mode', Object.keys(modeFlags) as XdpMode[])
}

function flagsAndExpected(mode: XdpMode | undefined, more: number, expectedFd: number | undefined) {
  const flags = (mode === undefined ? 0 : modeFlags[mode]) | more | (expectedFd === undefined ? 0 : XDP_FLAGS_REPLACE)
  return expectedFd === undefined ? { flags } : { flags, expectedFd }
}
