/** The options of `capture`, and their checks. */
import { Namespace } from '../namespace/namespace.js'
import { PacketEnd } from '../packets/end.js'
import type { PacketCondition } from '../packets/filter/conditions.js'
import { PacketFilter, type PacketFilterInput, packetFilter } from '../packets/filter.js'
import { Pump } from '../pump/pump.js'
import { checkLinkReference, type LinkReference } from '../rtnetlink/link-options.js'
import type { RingOptions } from '../sockets/packet-options.js'
import { TunInterface } from '../tuntap/interface.js'
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkOptions,
  checkSignal,
  checkString,
  typeError,
  valueError,
} from '../validate.js'
import { WHOLE_FRAME } from './constants.js'
import type { CaptureRotation } from './file-output.js'
import { textOf } from './options.js'
import type { CaptureInterface } from './types.js'

/** Options of `capture`: what, of one kind, and where to. */
export interface CaptureOptions {
  /** A link, its name or its index, or several: each becomes an interface of the file. */
  link?: LinkReference | readonly LinkReference[]
  /** Where links that are not Link objects are. Default: the process's own namespace. */
  namespace?: Namespace
  /** A tap or tun of this process: what it reads and what is written to it, seen from its interface. */
  tap?: TunInterface
  /** A running pump: what its ends get from it, after filters and impairments. The capture ends with the pump. */
  pump?: Pump
  /** An end that nobody else reads: what comes out of it. It stays open. */
  end?: PacketEnd
  /** The file to make; one that exists is overwritten. Default: none, and the capture has a `stream`. */
  file?: string
  /** Begins a new file from time to time. */
  rotate?: CaptureRotation
  /** The most bytes that are kept of a frame, from 1 to 262,144. Default: 262,144, all of it. */
  snapshotLength?: number
  /**
   * Only frames that match are captured: conditions (`{ protocol: 'tcp', port: 80 }`), or a filter of `packetFilter()`. Of links, the
   * kernel hands over no others.
   */
  filter?: PacketFilterInput
  /** True reads links through rings of shared memory, which costs less, as `ring` of `openPacketSocket`. Default: false. */
  ring?: boolean | RingOptions
  /** True takes frames that are for others too, where the link is one of hardware (PACKET_MR_PROMISC). Default: false. */
  promiscuous?: boolean
  /** A comment for the whole file. */
  comment?: string
  /** Ends the capture. */
  signal?: AbortSignal
}

const subjects = ['link', 'tap', 'pump', 'end'] as const
const keys = [
  ...subjects,
  'namespace',
  'file',
  'rotate',
  'snapshotLength',
  'promiscuous',
  'filter',
  'ring',
  'comment',
  'signal',
]

export function checkCaptureOptions(options: CaptureOptions): void {
  checkOptions(options, 'options', keys)
  const { link, namespace, tap, pump, end, file, rotate, snapshotLength, promiscuous, comment, signal } = options
  const given = subjects.filter((key) => options[key] !== undefined)
  if (given.length !== 1) {
    throw valueError(
      'options',
      given.length === 0 ? options : given.join(' and '),
      `one of ${subjects.join(', ')} says what to capture`,
    )
  }
  if (Array.isArray(link)) {
    if (link.length === 0) throw valueError('options.link', link, 'there is nothing to capture')
    link.forEach((one, i) => checkLinkReference(one, `options.link[${i}]`))
  } else if (link !== undefined) checkLinkReference(link, 'options.link')
  if (namespace !== undefined && !(namespace instanceof Namespace)) {
    throw typeError('options.namespace', 'a Namespace', namespace)
  }
  if (tap !== undefined && !(tap instanceof TunInterface)) throw typeError('options.tap', 'a Tap or Tun', tap)
  if (pump !== undefined && !(pump instanceof Pump)) throw typeError('options.pump', 'a Pump', pump)
  if (end !== undefined && !(end instanceof PacketEnd)) throw typeError('options.end', 'a packet end', end)
  if (file !== undefined) checkString(file, 'options.file')
  if (rotate !== undefined) checkRotation(rotate, file)
  if (snapshotLength !== undefined) checkInteger(snapshotLength, 'options.snapshotLength', 1, WHOLE_FRAME)
  if (promiscuous !== undefined) checkBoolean(promiscuous, 'options.promiscuous')
  if (comment !== undefined) textOf(comment, 'options.comment')
  checkSignal(signal, 'options.signal')
}

/** Whether a filter is conditions, not a program. */
function isConditions(filter: PacketFilterInput): filter is PacketCondition {
  return !(filter instanceof PacketFilter || filter instanceof Uint8Array || Array.isArray(filter))
}

/** The program of the options' filter. */
export function filterOf({ filter, snapshotLength }: CaptureOptions, layer3: boolean): PacketFilter | undefined {
  if (filter === undefined) return undefined
  if (!isConditions(filter)) return packetFilter(filter)
  return packetFilter(filter, { layer3, ...(snapshotLength === undefined ? {} : { snapshotLength }) })
}

/** What a capture file says about its filter: conditions, as they were given. */
function filterText(filter: PacketFilterInput | undefined): string | undefined {
  if (filter === undefined || !isConditions(filter)) return undefined
  const text = JSON.stringify(filter)
  return text.length > 10_000 ? undefined : text
}

/** An interface of the file, with the filter that its frames have passed. */
export function described(description: CaptureInterface, { filter }: CaptureOptions): CaptureInterface {
  const text = filterText(filter)
  return { ...description, ...(text === undefined ? {} : { filter: text }) }
}

function checkRotation(rotate: CaptureRotation, file: string | undefined): void {
  checkOptions(rotate, 'options.rotate', ['bytes', 'interval', 'files', 'onFile'])
  if (file === undefined) throw valueError('options.rotate', rotate, 'is for captures that have a file')
  const { bytes, interval, files, onFile } = rotate
  if (bytes === undefined && interval === undefined) {
    throw valueError('options.rotate', rotate, "'bytes' or 'interval' says when to begin a new file")
  }
  if (bytes !== undefined) checkInteger(bytes, 'options.rotate.bytes', 4096, Number.MAX_SAFE_INTEGER)
  if (interval !== undefined) checkInteger(interval, 'options.rotate.interval', 10, 0x7fff_ffff)
  if (files !== undefined) checkInteger(files, 'options.rotate.files', 1, 1_000_000)
  if (onFile !== undefined) checkFunction(onFile, 'options.rotate.onFile')
}
