/** Acknowledgements (struct nlmsgerr) and what the extended acknowledgement says about a refusal. */
import { errnoMeaning } from '../errno.js'
import { isDenied, NetkitError } from '../errors.js'
import { attributeU32, binary, Malformed, text } from './attribute.js'
import { align4, LITTLE_ENDIAN, sourceOf } from './bytes.js'
import { type AnyDefinition, HEADER_SIZE, type Message, netlinkConstants } from './message.js'
import { type AttributesOf, attributes } from './table.js'

const { NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_DONE } = netlinkConstants

/** enum nlmsgerr_attrs of linux/netlink.h. */
export const acknowledgementAttributes = attributes({
  message: [1, 'NLMSGERR_ATTR_MSG', text],
  offset: [2, 'NLMSGERR_ATTR_OFFS', attributeU32],
  cookie: [3, 'NLMSGERR_ATTR_COOKIE', binary],
  policy: [4, 'NLMSGERR_ATTR_POLICY', binary],
  missingType: [5, 'NLMSGERR_ATTR_MISS_TYPE', attributeU32],
  missingNest: [6, 'NLMSGERR_ATTR_MISS_NEST', attributeU32],
})

export interface Acknowledgement {
  /** 0, or a positive errno. */
  errno: number
  extended: AttributesOf<typeof acknowledgementAttributes>
}

/** Reads an NLMSG_ERROR, or the NLMSG_DONE of a dump, which carries an errno and an extended acknowledgement too. */
export function decodeAcknowledgement(message: Message): Acknowledgement {
  const { source, start, end } = message
  // NLMSG_DONE without a payload is allowed.
  const code = end - start < 4 ? 0 : source.view.getInt32(start, LITTLE_ENDIAN)
  // Errors are negated errnos; a dump may end with a positive number, which is a result of its own.
  const errno = code < 0 ? -code : 0
  if ((message.flags & NLM_F_ACK_TLVS) === 0 || end - start < 4) return { errno, extended: {} }
  let first = start + 4
  if (message.type !== NLMSG_DONE) {
    // The refused request follows: its header alone when the kernel capped it (NETLINK_CAP_ACK), otherwise whole.
    if (end - first < HEADER_SIZE) return { errno, extended: {} }
    const size = (message.flags & NLM_F_CAPPED) === 0 ? source.view.getUint32(first, LITTLE_ENDIAN) : HEADER_SIZE
    if (size > end - first) return { errno, extended: {} }
    first += align4(size)
  }
  try {
    return { errno, extended: acknowledgementAttributes.decode(source, first, end) }
  } catch (error) {
    // The errno stands whatever the words are like.
    if (error instanceof Malformed) return { errno, extended: {} }
    throw error
  }
}

/** What a request was, for the words of its error. */
export interface Description {
  /** What was being done, `cannot create veth1`, or a function that puts it into words when they are needed. */
  readonly what: string | (() => string)
  /** The message's name: RTM_NEWLINK. */
  readonly syscall: string
  /** Whose tables name the attribute that the kernel points at. */
  readonly definition: AnyDefinition
  /** More words for EPERM and EACCES, asked for only then. */
  readonly hint?: (() => string | undefined) | undefined
}

/** What a request was doing, in words. A function that fails to say so must not hide how the request ended. */
export function wordsOf({ what, syscall = 'request' }: Pick<Description, 'what'> & { syscall?: string }): string {
  if (typeof what === 'string') return what
  try {
    return what()
  } catch {
    return syscall
  }
}

/** The error of a refused request. */
export function refusal(acknowledgement: Acknowledgement, request: Uint8Array, description: Description): NetkitError {
  const { errno, extended } = acknowledgement
  const { definition } = description
  const path = extended.offset === undefined ? [] : definition.attributeAt(sourceOf(request), extended.offset).path
  let said = extended.message
  if (extended.missingType !== undefined) {
    const missing = missingName(definition, request, extended.missingType, extended.missingNest)
    said = `${said ?? errnoMeaning(errno)} (missing: ${missing})`
  }
  return new NetkitError({
    message: wordsOf(description),
    errno,
    syscall: description.syscall,
    kernelMessage: said,
    // The innermost name with its container's: enough to find it, and what iproute2's users know.
    attribute: path.length === 0 ? undefined : path.slice(-2).join('.'),
    hint: isDenied(errno) ? description.hint?.() : undefined,
  })
}

/** The name of an attribute that the kernel misses: within the nest at `nest` (an offset), or at the top. */
function missingName(definition: AnyDefinition, request: Uint8Array, type: number, nest: number | undefined): string {
  if (nest === undefined) return definition.table.attribute(type)?.name ?? `attribute ${type}`
  const { path, contents } = definition.attributeAt(sourceOf(request), nest)
  const name = contents?.attribute(type)?.name ?? `attribute ${type}`
  return [...path.slice(-1), name].join('.')
}
