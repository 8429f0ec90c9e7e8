/** What `capture` reads: opened for it, with what is known about it. */
import { namedError } from '../errors.js'
import { deviceOf, type PacketEnd } from '../packets/end.js'
import type { LinkReference } from '../rtnetlink/link-options.js'
import { type CaptureOptions, described, filterOf } from './capture-options.js'
import { linkSource } from './link-source.js'
import { pumpSource } from './pump-source.js'
import type { SourceParts } from './source.js'

/** Opens all that the options name. What was opened is closed when one cannot be. */
export async function openSources(options: CaptureOptions): Promise<SourceParts[]> {
  const { link, tap, pump, end } = options
  const closed = [tap, end].find((one) => one?.destroyed)
  if (closed !== undefined) throw namedError('EBADF', 'capture', `${closed.name} is closed`)
  if (end !== undefined) return [endSource(end, options)]
  if (pump !== undefined) return [pumpSource(pump, options)]
  const links: readonly LinkReference[] =
    tap !== undefined ? [tap.link] : Array.isArray(link) ? link : [link as LinkReference]
  const opened = await Promise.allSettled(links.map((one) => linkSource(one, options)))
  const failed = opened.find((one) => one.status === 'rejected')
  const sources = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  if (failed === undefined) return sources
  await Promise.all(sources.map((one) => one.end.close()))
  throw failed.reason
}

/** An end of the caller's, which is read in the caller's place. */
function endSource(end: PacketEnd, options: CaptureOptions): SourceParts {
  const { layer3 } = deviceOf(end)
  const filter = filterOf(options, layer3)
  return {
    end,
    description: described({ name: end.name, linkType: layer3 ? 'raw' : 'ethernet' }, options),
    isOwn: false,
    ...(filter === undefined ? {} : { filter }),
    dropped: () => end.stats().dropped ?? 0,
  }
}
