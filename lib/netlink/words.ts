/** Messages in words: their header's members and their attributes by the kernel's names, for traces and dry runs. */
import { inspect } from 'node:util'
import { Malformed } from './attribute.js'
import { align4, LITTLE_ENDIAN, type Source, sourceOf } from './bytes.js'
import { type AnyDefinition, HEADER_SIZE, netlinkConstants } from './message.js'
import type { Struct } from './struct.js'
import { type AnyTable, forEachAttribute, NLA_TYPE_MASK } from './table.js'

/** What a message says. */
export interface MessageWords {
  /** RTM_NEWLINK, or the type's number where nobody has named it. */
  name: string
  /** NLM_F_… but for NLM_F_REQUEST, as words: 'create', 'exclusive', 'replace', 'append', 'dump', 'acknowledge' … */
  flags: string[]
  /** The fixed header's members that are not zero, by their names in C. */
  header: Record<string, unknown>
  /** Attributes by the kernel's names; one that occurs several times is an array. */
  attributes: Record<string, unknown>
}

const { NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_ECHO, NLM_F_EXCL, NLM_F_MULTI, NLM_F_REPLACE } =
  netlinkConstants

const typeNames = new Map<number, string>()

/** Gives the types of a protocol's messages their names. The protocols that netkit speaks share no number. */
export function nameMessageTypes(types: Readonly<Record<string, number>>, prefix: string): void {
  for (const [name, number] of Object.entries(types)) if (name.startsWith(prefix)) typeNames.set(number, name)
}

export function messageTypeName(type: number): string {
  return typeNames.get(type) ?? `type ${type}`
}

/** What flags mean depends on what is asked: NLM_F_DUMP is NLM_F_REPLACE | NLM_F_EXCL. */
function flagWords(name: string, flags: number): string[] {
  const words: string[] = []
  const say = (bit: number, word: string) => {
    if ((flags & bit) === bit) words.push(word)
  }
  if (/_GET/.test(name)) say(NLM_F_DUMP, 'dump')
  else if (/_NEW/.test(name)) {
    say(NLM_F_CREATE, 'create')
    say(NLM_F_EXCL, 'exclusive')
    say(NLM_F_REPLACE, 'replace')
    say(NLM_F_APPEND, 'append')
  } else if (/_DEL/.test(name)) say(NLM_F_EXCL, 'bulk')
  say(NLM_F_MULTI, 'multi')
  say(NLM_F_ACK, 'acknowledge')
  say(NLM_F_ECHO, 'echo')
  return words
}

/** A request's bytes in words. */
export function describeRequest(definition: AnyDefinition, bytes: Uint8Array, name?: string): MessageWords {
  const source = sourceOf(bytes)
  const type = source.view.getUint16(4, LITTLE_ENDIAN)
  const flags = source.view.getUint16(6, LITTLE_ENDIAN)
  return describePayload(definition, { source, type, flags, start: HEADER_SIZE, end: bytes.length }, name)
}

/** A message in words. */
export function describePayload(
  definition: AnyDefinition,
  { source, type, flags, start, end }: { source: Source; type: number; flags: number; start: number; end: number },
  name = messageTypeName(type),
): MessageWords {
  const header = definition.header.decode(source, start, end - start) as Record<string, unknown>
  const first = Math.min(end, start + align4(definition.header.size))
  return {
    name,
    flags: flagWords(name, flags),
    header: headerWords(definition.header, header),
    attributes: describeAttributes(definition.table, source, first, end, header),
  }
}

function headerWords(struct: Struct, header: Record<string, unknown>): Record<string, unknown> {
  const said = struct.fields.filter(({ key }) => header[key] !== 0 && header[key] !== 0n)
  return Object.fromEntries(said.map(({ key, name }) => [name, header[key]]))
}

function describeAttributes(
  table: AnyTable,
  source: Source,
  start: number,
  end: number,
  header: Record<string, unknown>,
): Record<string, unknown> {
  const described: Record<string, unknown> = {}
  const put = (name: string, value: unknown, several: boolean) => {
    const known = described[name]
    if (known === undefined) described[name] = several ? [value] : value
    else described[name] = Array.isArray(known) ? [...known, value] : [known, value]
  }
  try {
    forEachAttribute(source, start, end, (number, offset, length) => {
      const attribute = table.attribute(number)
      const raw = () => hexadecimal(source, offset, length)
      if (attribute === undefined) return put(`#${number & NLA_TYPE_MASK}`, raw(), false)
      const { name, type } = attribute
      try {
        // What stands before it may decide what is in it.
        const siblings = table.decode(source, start, offset - 4, header)
        const inner = type.nested?.({ header, siblings })
        const end = offset + length
        const contents =
          inner && describeAttributes(inner.table, source, Math.min(offset + inner.skip, end), end, header)
        // What a request has as attributes may be something else in an answer (IFLA_INET_CONF).
        const isNest = contents !== undefined && !('malformed' in contents)
        const value = isNest ? contents : type.decode(source, offset, length, { header, siblings })
        put(name, value instanceof Uint8Array ? raw() : value, type.repeated === true)
      } catch (error) {
        if (!(error instanceof Malformed)) throw error
        put(name, `${raw()} (${error.message})`, false)
      }
    })
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    put('malformed', error.message, false)
  }
  return described
}

function hexadecimal(source: Source, offset: number, length: number): string {
  return Buffer.from(source.bytes.buffer, source.bytes.byteOffset + offset, length).toString('hex')
}

/** Words in one line: `RTM_NEWLINK create exclusive: IFLA_IFNAME 'br0', IFLA_LINKINFO { IFLA_INFO_KIND 'bridge' }`. */
export function messageText({ name, flags, header, attributes }: MessageWords): string {
  const said = [...Object.entries(header), ...Object.entries(attributes)].map(
    ([key, value]) => `${key} ${valueText(value)}`,
  )
  const words = [name, ...flags].join(' ')
  return said.length === 0 ? words : `${words}: ${said.join(', ')}`
}

function valueText(value: unknown): string {
  if (typeof value !== 'object' || value === null) return inspect(value)
  if (Array.isArray(value)) return `[ ${value.map(valueText).join(', ')} ]`
  const members = Object.entries(value).filter(([, member]) => member !== undefined)
  return members.length === 0 ? '{}' : `{ ${members.map(([key, member]) => `${key} ${valueText(member)}`).join(', ')} }`
}
