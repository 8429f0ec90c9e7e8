/** Capture files in the old format (pcap-savefile(5)), for programs that read them. */

/** A file of these frames, frame i being taken at second i. Link type 1 is Ethernet, 101 is IP. */
export function pcapFile(frames: readonly Buffer[], linkType = 1): Buffer {
  const head = Buffer.alloc(24)
  head.writeUInt32LE(0xa1b2c3d4, 0)
  head.writeUInt16LE(2, 4)
  head.writeUInt16LE(4, 6)
  head.writeUInt32LE(262_144, 16)
  head.writeUInt32LE(linkType, 20)
  const parts = frames.flatMap((frame, i) => {
    const header = Buffer.alloc(16)
    header.writeUInt32LE(i, 0)
    header.writeUInt32LE(frame.length, 8)
    header.writeUInt32LE(frame.length, 12)
    return [header, frame]
  })
  return Buffer.concat([head, ...parts])
}

/** The seconds of the frames in such a file. */
export function secondsIn(file: Buffer): number[] {
  const found: number[] = []
  for (let at = 24; at < file.length; at += 16 + file.readUInt32LE(at + 8)) found.push(file.readUInt32LE(at))
  return found
}
