/** The addon's classic BPF: what it takes and what it does, held against the kernel's. */
import { constants } from 'node:os'
import { test } from 'tap'
import { native } from '../dist/native.js'
import { askKernel, type FilterCase } from './support/kernel-filter.js'
import { needs } from './support/needs.js'
import { type Random, seeded } from './support/random.js'

const { EINVAL, EOPNOTSUPP } = constants.errno

type Line = readonly [code: number, jt: number, jf: number, k: number]

function assemble(lines: readonly Line[]): Buffer {
  const bytes = Buffer.alloc(8 * lines.length)
  lines.forEach(([code, jt, jf, k], i) => {
    bytes.writeUInt16LE(code, 8 * i)
    bytes[8 * i + 2] = jt
    bytes[8 * i + 3] = jf
    bytes.writeUInt32LE(k >>> 0, 8 * i + 4)
  })
  return bytes
}

/** What the addon's filter returns for each frame, or the errno. */
function run(program: Uint8Array, frames: readonly Uint8Array[]): number[] | number {
  const slab = Buffer.concat(frames)
  const spans = new Uint32Array(2 * frames.length)
  const results = new Uint32Array(frames.length)
  let at = 0
  frames.forEach(({ length }, i) => {
    spans.set([at, length], 2 * i)
    at += length
  })
  const matched = native.runFilter(program, slab, spans, frames.length, results)
  return matched < 0 ? -matched : [...results]
}

const RET_K = 0x06
const RET_A = 0x16
const LD = { w: 0x20, h: 0x28, b: 0x30 }
const IND = { w: 0x40, h: 0x48, b: 0x50 }
const [LD_LEN, LDX_LEN, LDX_MSH, LD_IMM, LDX_IMM] = [0x80, 0x81, 0xb1, 0x00, 0x01]
const [LD_MEM, LDX_MEM, ST, STX, TAX, TXA, NEG, JA] = [0x60, 0x61, 0x02, 0x03, 0x07, 0x87, 0x84, 0x05]
const arithmetic = [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0].map((code) => code | 4)
const [DIV, LSH, RSH, MOD] = [0x34, 0x64, 0x74, 0x94]
const branches = [0x15, 0x25, 0x35, 0x45]
const XOR_X = -0x1000 + 40
const VLAN = [44, 48, 60].map((offset) => -0x1000 + offset)
const numbers = [
  0, 1, 2, 3, 4, 5, 6, 7, 31, 32, 33, 0xff, 0x800, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
]

/** A program that is mostly one that the kernel takes: jumps lead forward, memory is written at the beginning. */
function randomProgram({ below, pick, once }: Random): Line[] {
  const lines: Line[] = [[LD_IMM, 0, 0, pick(numbers)]]
  const words = below(3)
  for (let i = 0; i < words; i++) lines.push([pick([ST, STX]), 0, 0, i])
  const length = lines.length + 1 + below(30)
  const offset = () => (once(20) ? pick(numbers) : below(70))
  const makers: (() => Line)[] = [
    () => [pick(Object.values(LD)), 0, 0, once(12) ? pick([XOR_X, ...VLAN]) : offset() & 0x7fffffff],
    // X is often large: then k is to bring the sum back.
    () => [pick(Object.values(IND)), 0, 0, once(4) ? pick([-1, -2, -20]) : below(40)],
    () => [LDX_MSH, 0, 0, offset()],
    () => [pick([LD_LEN, LDX_LEN]), 0, 0, 0],
    () => [pick([LD_IMM, LDX_IMM]), 0, 0, pick(numbers)],
    () => [pick([LD_MEM, LDX_MEM]), 0, 0, below(words === 0 ? 16 : words)],
    () => [pick([ST, STX]), 0, 0, below(16)],
    () => {
      const code = pick(arithmetic)
      if (once(2)) return [code | 8, 0, 0, 0]
      const k = code === LSH || code === RSH ? below(32) : pick(numbers)
      return [code, 0, 0, (code === DIV || code === MOD) && k === 0 ? 1 : k]
    },
    () => [pick([TAX, TXA, NEG]), 0, 0, 0],
    () => [pick(branches) | (once(3) ? 8 : 0), below(6), below(6), pick(numbers)],
    () => [JA, 0, 0, below(4)],
    () => (once(3) ? [pick([RET_A, RET_K]), 0, 0, below(90)] : [TAX, 0, 0, 0]),
  ]
  while (lines.length < length) lines.push(pick(makers)())
  lines.push([pick([RET_A, RET_K]), 0, 0, pick([0, 1, 40, 65_535, 0xffffffff])])
  // Jumps that would lead behind the end go to the end.
  return lines.map(([code, jt, jf, k], i) => {
    const behind = lines.length - i - 2
    if (code === JA) return [code, 0, 0, Math.min(k, Math.max(behind, 0))]
    if (!branches.includes(code & ~8)) return [code, jt, jf, k]
    return [code, Math.min(jt, behind), Math.min(jf, behind), k]
  })
}

/** One thing about it changed, so that it may be refused. */
function spoil(lines: readonly Line[], { below, pick, once }: Random): Line[] {
  const at = below(lines.length)
  const [code, jt, jf, k] = lines[at] as Line
  const changed: Line[] = [
    [below(256), jt, jf, k],
    [code | (below(256) << 8), jt, jf, k],
    [code, below(256), jf, k],
    [code, jt, below(256), k],
    [code, jt, jf, below(100)],
    [code, jt, jf, -0x1000 + below(80)],
    [code, jt, jf, below(2 ** 32)],
    [DIV, 0, 0, below(2)],
    [LSH, 0, 0, 28 + below(8)],
    [LD_MEM, 0, 0, below(20)],
    [ST, 0, 0, below(20)],
    [JA, 0, 0, below(40)],
  ]
  const line = pick(changed)
  if (once(10)) return lines.slice(0, at)
  return lines.map((old, i) => (i === at ? line : old))
}

function randomFrames({ below, bytes }: Random, count: number): Buffer[] {
  return Array.from({ length: count }, () => bytes(1 + below(80)))
}

const hex = (bytes: Uint8Array = new Uint8Array(0)) => Buffer.from(bytes).toString('hex')

const accept = assemble([[RET_K, 0, 0, 0xffffffff]])

test('the return value, and spans', (t) => {
  const frames = [Buffer.from('0123'), Buffer.alloc(0), Buffer.alloc(1000, 1)]
  t.same(run(accept, frames), [0xffffffff, 0xffffffff, 0xffffffff])
  t.same(run(assemble([[RET_K, 0, 0, 0]]), frames), [0, 0, 0])
  t.same(
    run(
      assemble([
        [LD_LEN, 0, 0, 0],
        [RET_A, 0, 0, 0],
      ]),
      frames,
    ),
    [4, 0, 1000],
  )
  const results = new Uint32Array(4)
  const slab = Buffer.alloc(100, 7)
  const loads = assemble([
    [LD.b, 0, 0, 0],
    [RET_A, 0, 0, 0],
  ])
  const spans = Uint32Array.of(99, 1, 99, 2, 0xffffffff, 0xffffffff, 10, 0x80000005)
  t.equal(native.runFilter(loads, slab, spans, 4, results), 2)
  t.same([...results], [7, 0, 0, 7], 'what leaves the slab is no frame, and the header flag is none of the length')
  t.equal(native.runFilter(loads, slab, spans, 5, results), -EINVAL, 'more than there are spans')
  t.equal(native.runFilter(loads, slab, spans, 4, new Uint32Array(3)), -EINVAL, 'more than there is room for results')
  t.equal(native.runFilter(loads, slab, new Uint32Array(0), 0, new Uint32Array(0)), 0)
  t.end()
})

test('a load beyond the end drops, wherever that is', (t) => {
  const frame = Buffer.alloc(20, 1)
  for (const [name, size] of [
    ['w', 4],
    ['h', 2],
    ['b', 1],
  ] as const) {
    for (const k of [0, 20 - size, 21 - size, 20, 0x7ffffffc, 0x7fffffff]) {
      const expected = k <= 20 - size ? [1] : [0]
      t.same(
        run(
          assemble([
            [LD[name], 0, 0, k],
            [RET_K, 0, 0, 1],
          ]),
          [frame],
        ),
        expected,
        `ld${name} [${k}]`,
      )
      const indexed: Line[] = [
        [LDX_IMM, 0, 0, k - 5],
        [IND[name], 0, 0, 5],
        [RET_K, 0, 0, 1],
      ]
      t.same(run(assemble(indexed), [frame]), expected, `ld${name} [x + 5], x being ${k - 5}`)
    }
  }
  for (const k of [0, 19, 20, 0xffffffff]) {
    t.same(
      run(
        assemble([
          [LDX_MSH, 0, 0, k],
          [RET_K, 0, 0, 1],
        ]),
        [frame],
      ),
      [k < 20 ? 1 : 0],
      `4*([${k}]&0xf)`,
    )
  }
  t.end()
})

test('what is refused', (t) => {
  const end: Line = [RET_K, 0, 0, 1]
  const wrong: [what: string, lines: Line[], at: number][] = [
    ['no instruction', [], 0],
    ['no return at the end', [[LD_IMM, 0, 0, 1]], 1],
    ['an unknown code', [[0xff, 0, 0, 0], end], 0],
    ['RET X', [end, [0x0e, 0, 0, 0]], 1],
    ['a jump to the end', [[JA, 0, 0, 1], end], 0],
    ['a jump far behind it', [[JA, 0, 0, 0xffffffff], end], 0],
    ['a branch to the end', [[0x15, 1, 0, 0], end], 0],
    ['the other branch', [[0x15, 0, 1, 0], end], 0],
    ['a division by zero', [[DIV, 0, 0, 0], end], 0],
    ['a remainder by zero', [end, [MOD, 0, 0, 0], end], 1],
    ['a shift by 32', [[LSH, 0, 0, 32], end], 0],
    ['word 16 of memory', [[ST, 0, 0, 16], end], 0],
    ['a word that was never written', [[LD_MEM, 0, 0, 3], end], 0],
    ['a word that was written on one way only', [[0x15, 0, 1, 0], [ST, 0, 0, 3], [LDX_MEM, 0, 0, 3], end], 2],
    ['an ancillary load that there is not', [[LD.b, 0, 0, -0x1000 + 64], end], 0],
    ['4,097 instructions', Array.from({ length: 4097 }, () => end), 4097],
  ]
  for (const [what, lines, at] of wrong) {
    const program = assemble(lines)
    t.equal(native.checkFilter(program), -1 - at, what)
    t.equal(native.runFilter(program, accept, new Uint32Array(0), 0, new Uint32Array(0)), -EINVAL, what)
  }
  t.equal(native.checkFilter(assemble(Array.from({ length: 4096 }, () => end))), 0)
  t.equal(native.runFilter(accept.subarray(0, 7), accept, new Uint32Array(0), 0, new Uint32Array(0)), -EINVAL)
  t.same(run(assemble([[LD.w, 0, 0, -0x1000 + 8], end]), [accept]), EOPNOTSUPP, 'an interface index is the kernel’s')
  t.same(run(assemble([[LD.w, 0, 0, -0x200000], end]), [accept]), EOPNOTSUPP, 'and so is where its link header lies')
  t.throws(() => native.checkFilter('x' as never), TypeError)
  t.throws(() => native.runFilter(accept, accept, new Float64Array(2) as never, 0, new Uint32Array(0)), TypeError)
  t.end()
})

test('unaligned programs', (t) => {
  const memory = Buffer.alloc(9)
  memory.set(accept, 1)
  t.equal(native.checkFilter(memory.subarray(1)), 0)
  t.same(run(memory.subarray(1), [accept]), [0xffffffff])
  t.end()
})

test('the kernel decides alike', await needs('cc'), (t) => {
  const random = seeded(20_250_101)
  const cases: FilterCase[] = []
  for (let i = 0; i < 4000; i++) {
    const lines = randomProgram(random)
    cases.push({ program: assemble(lines), frames: randomFrames(random, 6) })
  }
  const kernel = askKernel(cases)
  let taken = 0
  let passed = 0
  cases.forEach(({ program, frames }, i) => {
    const { errno = 0, kept = [] } = kernel[i] ?? {}
    const check = native.checkFilter(program)
    if ((check === 0) !== (errno === 0)) t.fail(`check ${check}, kernel ${errno}`, { program: hex(program) })
    if (errno !== 0) return
    taken++
    const results = run(program, frames)
    if (typeof results === 'number') {
      t.fail(`errno ${results}`, { program: hex(program) })
      return
    }
    results.forEach((result, j) => {
      const ours = Math.min(result, frames[j]?.length ?? 0)
      if (ours > 0) passed++
      if (ours !== kept[j]) {
        t.fail(`here ${ours}, kernel ${kept[j]}`, {
          program: hex(program),
          frame: hex(frames[j]),
        })
      }
    })
  })
  t.ok(taken > 3000, `${taken} programs were taken`)
  t.ok(passed > 4000 && passed < 5 * taken, `${passed} of ${6 * taken} frames came through`)
  t.end()
})

test('the kernel refuses alike', await needs('cc'), (t) => {
  const random = seeded(4)
  const programs = Array.from({ length: 6000 }, () => assemble(spoil(randomProgram(random), random)))
  const kernel = askKernel(programs.map((program) => ({ program, frames: [] })))
  let refused = 0
  programs.forEach((program, i) => {
    const errno = kernel[i]?.errno ?? 0
    const check = native.checkFilter(program)
    if (check !== 0) refused++
    if ((check === 0) !== (errno === 0)) t.fail(`check ${check}, kernel ${errno}`, { program: hex(program) })
  })
  t.ok(refused > 1500 && refused < 5500, `${refused} of ${programs.length} were refused`)
  t.end()
})
