/** What `capture` reads: opened for it, with what is known about it. */
import type { PacketEnd } from '../packets/end.js'
import { Tun } from '../tuntap/tun.js'
import type { CaptureOptions } from './capture-options.js'
import type { SourceParts } from './source.js'

export async function openSources(options: CaptureOptions): Promise<SourceParts[]> {
  const { end } = options
  if (end !== undefined) return [endSource(end)]
  throw new Error('not yet')
}

/** An end of the caller's, which is read in place of the caller. */
function endSource(end: PacketEnd): SourceParts {
  return {
    end,
    description: { name: end.name, linkType: end instanceof Tun ? 'raw' : 'ethernet' },
    isOwn: false,
    dropped: () => end.stats().dropped ?? 0,
  }
}
