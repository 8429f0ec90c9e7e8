/** What a pump carries, captured by a tee. */

import { deviceOf } from '../packets/end.js'
import type { Pump } from '../pump/pump.js'
import { createTee } from '../pump/tee.js'
import { type CaptureOptions, described, filterOf } from './capture-options.js'
import { WHOLE_FRAME } from './constants.js'
import type { SourceParts } from './source.js'

/** Bytes of copies that wait to be written. */
const CAPACITY = 4 * 1024 * 1024
/** The most that a tee keeps of a frame. */
const LONGEST = 65_654

/** Frames as they leave the pump: inbound is what comes from its first end. */
export function pumpSource(pump: Pump, options: CaptureOptions): SourceParts {
  const { layer3 } = deviceOf(pump.a)
  const filter = filterOf(options, layer3)
  const { snapshotLength = WHOLE_FRAME } = options
  // A filter looks at more than what is kept.
  const kept = filter === undefined ? Math.min(snapshotLength, LONGEST) : LONGEST
  const tee = createTee({ capacity: CAPACITY, snapshotLength: kept, layer: layer3 ? 'ip' : 'ethernet' })
  try {
    pump.tee(tee)
  } catch (error) {
    void tee.close()
    throw error
  }
  return {
    end: tee,
    description: described(
      {
        name: `${pump.a.name}-${pump.b.name}`,
        description: `a pump: inbound from ${pump.a.name}, outbound from ${pump.b.name}`,
        linkType: layer3 ? 'raw' : 'ethernet',
      },
      options,
    ),
    isOwn: true,
    ...(filter === undefined ? {} : { filter }),
    ended: pump.done,
    async stop() {
      pump.untee(tee)
    },
    dropped: () => tee.stats().dropped ?? 0,
  }
}
