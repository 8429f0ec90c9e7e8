/** What goes into capture files, and what comes out of them. */
import type { directions, linkTypes } from './constants.js'

/** What the frames of an interface begin with: a name, or a number of the list of link types (LINKTYPE_…). */
export type LinkType = keyof typeof linkTypes | (number & {})

/** Which way a frame went, seen from the interface. */
export type FrameDirection = keyof typeof directions

/** An interface of a capture file (an interface description block). */
export interface CaptureInterface {
  /** Its name: 'eth0' (if_name). */
  name?: string
  /** What it is (if_description). */
  description?: string
  /** What its frames begin with. Default: 'ethernet'. */
  linkType?: LinkType
  /** The most bytes that are kept of a frame, from 1 to 2^32 - 1; longer ones are cut. Default: that of the writer. */
  snapshotLength?: number
  /** What was captured, in words (if_filter). */
  filter?: string
  /** Bits per second (if_speed). */
  speed?: number | bigint
  /** Its MAC address (if_MACaddr). */
  mac?: string
  /** The operating system of the machine that it is in (if_os). */
  os?: string
  /** The interface's hardware (if_hardware). */
  hardware?: string
  /** Lines of a comment are kept in one. */
  comment?: string
}

/** A frame for a capture file. */
export interface CaptureFrame {
  /** Its bytes. What is beyond the snapshot length is not written. */
  data: Uint8Array
  /** When it was seen: nanoseconds since 1970, from 0 to 2^64 - 1. Default: now. */
  timestamp?: bigint
  /** The interface: its place among those of the writer, or a description, which is added when it is new. Default: the first. */
  interface?: number | CaptureInterface
  direction?: FrameDirection
  comment?: string
  /** Its length on the wire, when `data` is less. Default: the length of `data`. */
  originalLength?: number
  /** How many frames were lost between the one before of this interface and this (epb_dropcount). */
  dropped?: number | bigint
}

/** What an interface has seen (an interface statistics block). Unknown numbers are left out. */
export interface CaptureStatistics {
  /** When this was so: nanoseconds since 1970. */
  timestamp?: bigint
  /** When the capture began and ended: nanoseconds since 1970 (isb_starttime, isb_endtime). */
  startTime?: bigint
  endTime?: bigint
  /** Frames that came to the interface (isb_ifrecv). */
  received?: number | bigint
  /** Frames that were lost for lack of room: what Wireshark shows as dropped (isb_ifdrop). */
  dropped?: number | bigint
  /** Frames that the filter let through (isb_filteraccept). */
  accepted?: number | bigint
  /** Frames that the operating system lost (isb_osdrop). */
  systemDropped?: number | bigint
  /** Frames that came as far as the program that captures (isb_usrdeliv). */
  delivered?: number | bigint
}

/** What a section of a capture file says about itself (a section header block). */
export interface CaptureSection {
  /** The machine that captured (shb_hardware). */
  hardware?: string
  /** Its operating system (shb_os). */
  os?: string
  /** The program that captured (shb_userappl). */
  application?: string
  comment?: string
}

/** An interface that was read from a capture file. */
export interface CapturedInterface extends CaptureInterface {
  /** Its place among the interfaces of its section. */
  readonly index: number
  readonly linkType: LinkType
  /** 0: frames are not cut. */
  readonly snapshotLength: number
  /** The section that it belongs to. */
  readonly section: CaptureSection
  /** The last statistics that were read so far. */
  statistics?: CaptureStatistics & { timestamp: bigint }
}

/** A frame that was read from a capture file. */
export interface CapturedPacket {
  readonly interface: CapturedInterface
  /** Nanoseconds since 1970; undefined when the file does not say (a simple packet block). */
  readonly timestamp: bigint | undefined
  /** What was kept of it: a view of what was read from the file. Copy what is to be kept for long. */
  readonly data: Buffer
  /** Its length on the wire. */
  readonly originalLength: number
  readonly direction: FrameDirection | undefined
  /** Several comments are joined with line ends. */
  readonly comment: string | undefined
  /** How many frames were lost between the one before of this interface and this, when the file says so. */
  readonly dropped: bigint | undefined
}
