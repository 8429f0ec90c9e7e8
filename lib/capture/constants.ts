/**
 * The numbers of capture files. Blocks and options: draft-ietf-opsawg-pcapng (sections 4 and 3.5). Link types:
 * draft-ietf-opsawg-pcaplinktype. Classic files: draft-ietf-opsawg-pcap.
 */

/** Block types of pcapng. */
export const blockTypes = {
  section: 0x0a0d0d0a,
  interface: 1,
  /** Obsolete: old files have it. */
  packet: 2,
  simplePacket: 3,
  names: 4,
  statistics: 5,
  enhancedPacket: 6,
} as const

/** Options that any block may have. */
export const commonOptions = { end: 0, comment: 1 } as const

/** Options of the section header block. */
export const sectionOptions = { hardware: 2, os: 3, application: 4 } as const

/** Options of the interface description block. */
export const interfaceOptions = {
  name: 2,
  description: 3,
  mac: 6,
  speed: 8,
  timestampResolution: 9,
  filter: 11,
  os: 12,
  timestampOffset: 14,
  hardware: 15,
} as const

/** Options of the enhanced packet block. The obsolete packet block has the same `flags`. */
export const packetOptions = { flags: 2, dropCount: 4 } as const

/** Options of the interface statistics block. */
export const statisticsOptions = {
  startTime: 2,
  endTime: 3,
  received: 4,
  interfaceDropped: 5,
  accepted: 6,
  systemDropped: 7,
  delivered: 8,
} as const

/** Bits 0 and 1 of a packet's flags. */
export const directions = { inbound: 1, outbound: 2 } as const

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d

/** What a classic file begins with, in its own byte order: with microseconds, and with nanoseconds. */
export const classicMagics = { micro: 0xa1b2c3d4, nano: 0xa1b23c4d } as const

/** Link types that have a name here: what the frames of an interface begin with. Any other is given by its number. */
export const linkTypes = { ethernet: 1, raw: 101, ieee80211: 105, radiotap: 127 } as const

/** The most bytes that are written of a frame when nothing else is said, as libpcap's tools have it: all. */
export const WHOLE_FRAME = 262_144
