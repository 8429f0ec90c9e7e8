/** What is done to a link nearer to the hardware: XDP programs, and SR-IOV's virtual functions. */
import { rtnetlinkConstants } from './constants.js'
import type { Link } from './link.js'
import { type LinkAttributes, linkMessage, wholePayload } from './link-attributes.js'
import { fetchLink } from './link-lookup.js'
import { changeMany, requestThenRead } from './talk.js'
import {
  checkVirtualFunction,
  readVirtualFunctions,
  type VirtualFunction,
  type VirtualFunctionSettings,
  virtualFunctionRequest,
} from './virtual-functions.js'
import { attachAttribute, checkDetach, detachAttributes, type XdpDetachOptions, type XdpOptions } from './xdp.js'

/** Attaches an XDP program. Takes a new snapshot of the link. */
export async function attachXdp(link: Link, options: XdpOptions): Promise<void> {
  await changeHardware(link, [{ xdp: attachAttribute(options) }], `cannot attach an XDP program to ${link.name}`)
}

/** Detaches the programs that the link has now. */
export async function detachXdp(link: Link, options: XdpDetachOptions): Promise<void> {
  checkDetach(options)
  await link.refresh()
  const all = detachAttributes(options, link.xdp).map((xdp) => ({ xdp }))
  if (all.length > 0) await changeHardware(link, all, `cannot detach the XDP program of ${link.name}`)
}

export async function changeVirtualFunction(
  link: Link,
  number: number,
  settings: VirtualFunctionSettings,
): Promise<void> {
  checkVirtualFunction(number, settings)
  const oneRate = (settings.minimumRate === undefined) !== (settings.maximumRate === undefined)
  const known = oneRate ? await fetchFunction(link, number) : undefined
  const virtualFunctions = virtualFunctionRequest(number, settings, known)
  await changeHardware(link, [{ virtualFunctions }], `cannot change the virtual function ${number} of ${link.name}`)
}

async function fetchFunction({ namespace, index, name }: Link, number: number): Promise<VirtualFunction | undefined> {
  const filterMask = rtnetlinkConstants.RTEXT_FILTER_VF
  const payload = await fetchLink(namespace, index, `cannot read ${name}`, { filterMask })
  const { mac, virtualFunctions } = linkMessage.decode(wholePayload(payload)).attributes
  return readVirtualFunctions(virtualFunctions, mac ?? '').find((one) => one.number === number)
}

async function changeHardware(link: Link, all: readonly LinkAttributes[], what: string): Promise<void> {
  const requests = all.map((attributes) => ({
    definition: linkMessage,
    request: 'RTM_NEWLINK' as const,
    header: { index: link.index },
    attributes,
    what,
  }))
  await requestThenRead(changeMany(link.namespace, requests), link.refresh())
}
