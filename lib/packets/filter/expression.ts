/**
 * What a filter asks, as tests combined by all, any and not; and the classic BPF that is made of it.
 *
 * Programs jump forward only, so code is made from its end to its beginning: where a test leads is there before the test is. Before
 * that, one walk from the first test to the last drops what is known already on every way to a test: comparisons that were made,
 * and loads whose value the accumulator still has. It adds what is not known yet: that the frame is long enough for a load.
 */
import { rangeError } from '../../validate.js'
import { bpf, type FilterInstruction, step } from './instructions.js'

/** How to get a value into the accumulator. */
export interface Load {
  /** Two loads with the same key have the same value. */
  readonly key: string
  readonly code: readonly FilterInstruction[]
  /** What has to be in the index register before. */
  readonly index?: { readonly key: string; readonly code: FilterInstruction }
  /** How long the frame must be, in bytes, for the load not to end the program. */
  readonly needs: number
}

export type Jump = 'BPF_JEQ' | 'BPF_JGT' | 'BPF_JGE' | 'BPF_JSET'

/** A comparison of the accumulator: with a number, or with the index register. */
export interface Test {
  readonly kind: 'test'
  readonly load: Load
  readonly jump: Jump
  readonly k: number | 'x'
}

export type Expression =
  | Test
  | { readonly kind: 'constant'; readonly value: boolean }
  | { readonly kind: 'all' | 'any'; readonly parts: readonly Expression[] }
  | { readonly kind: 'not'; readonly part: Expression }
  | { readonly kind: 'choice'; readonly on: Expression; readonly yes: Expression; readonly no: Expression }

type List = Extract<Expression, { parts: unknown }>

export const all = (...parts: readonly Expression[]): List => ({ kind: 'all', parts })
export const any = (...parts: readonly Expression[]): List => ({ kind: 'any', parts })
/** `yes` if `on` holds, `no` if not: when `yes` fails, `no` is not tried. */
export const choice = (on: Expression, yes: Expression, no: Expression): Expression => ({ kind: 'choice', on, yes, no })
export const not = (part: Expression): Expression => ({ kind: 'not', part })
export const never: Expression = { kind: 'constant', value: false }

/** The frame's length. */
export const length: Load = { key: 'length', code: [step(bpf.BPF_LD | bpf.BPF_W | bpf.BPF_LEN)], needs: 0 }

export const test = (load: Load, jump: Jump, k: number | 'x'): Test => ({ kind: 'test', load, jump, k })
export const equals = (load: Load, k: number): Test => test(load, 'BPF_JEQ', k)
export const isAtLeast = (k: number): Test => test(length, 'BPF_JGE', k)

/** What is known at a place of the program, on every way there. */
interface Facts {
  /** The frame has at least so many bytes. */
  readonly length: number
  /** The keys of what the registers hold. */
  readonly accumulator: string | undefined
  readonly index: string | undefined
  /** How comparisons have ended, and values that were found to be equal to something. */
  readonly tests: ReadonlyMap<string, boolean>
  readonly values: ReadonlyMap<string, number>
}

/** More are not remembered, so that a filter of thousands of tests is still made in no time. */
const MOST_FACTS = 64

/** A test, with what of its load is left to do. */
interface Step extends Test {
  readonly loads: boolean
  readonly indexes: boolean
}

type Plan =
  | Step
  | { readonly kind: 'constant'; readonly value: boolean }
  | { readonly kind: 'all' | 'any'; readonly parts: readonly Plan[] }
  | { readonly kind: 'not'; readonly part: Plan }
  | { readonly kind: 'choice'; readonly on: Plan; readonly yes: Plan; readonly no: Plan }

/** A plan, and what is known when it ended with true or false; undefined when it cannot. */
interface Planned {
  readonly plan: Plan
  readonly ifTrue: Facts | undefined
  readonly ifFalse: Facts | undefined
}

function common<T>(one: ReadonlyMap<string, T>, other: ReadonlyMap<string, T>): ReadonlyMap<string, T> {
  return one === other ? one : new Map([...one].filter(([key, value]) => other.get(key) === value))
}

function join(one: Facts | undefined, other: Facts | undefined): Facts | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return {
    length: Math.min(one.length, other.length),
    accumulator: one.accumulator === other.accumulator ? one.accumulator : undefined,
    index: one.index === other.index ? one.index : undefined,
    tests: common(one.tests, other.tests),
    values: common(one.values, other.values),
  }
}

function compare(value: number, jump: Jump, k: number): boolean {
  switch (jump) {
    case 'BPF_JEQ':
      return value === k
    case 'BPF_JGT':
      return value > k
    case 'BPF_JGE':
      return value >= k
    case 'BPF_JSET':
      return (value & k) !== 0
  }
}

const keyOf = ({ load, jump, k }: Test) => `${load.key} ${jump} ${k}`

/** How a test ends, when that is known. */
function foreseen(asked: Test, facts: Facts): boolean | undefined {
  const { load, jump, k } = asked
  if (load === length && jump === 'BPF_JGE' && k !== 'x' && k <= facts.length) return true
  const value = facts.values.get(load.key)
  if (value !== undefined && k !== 'x') return compare(value, jump, k)
  return facts.tests.get(keyOf(asked))
}

function planTest(asked: Test, facts: Facts): Planned {
  const { load, jump, k } = asked
  if (load.needs > facts.length) return planList(all(isAtLeast(load.needs), asked), facts)
  const value = foreseen(asked, facts)
  if (value !== undefined) return constant(value, facts)
  const loads = facts.accumulator !== load.key
  const indexes = load.index !== undefined && facts.index !== load.index.key && (loads || k === 'x')
  const plan: Step = { ...asked, loads, indexes }
  const after: Facts = { ...facts, accumulator: load.key, index: indexes ? load.index?.key : facts.index }
  const outcome = (result: boolean): Facts => {
    const isFull = after.tests.size >= MOST_FACTS
    const isEqual = result && jump === 'BPF_JEQ' && k !== 'x'
    return {
      ...after,
      length: result && load === length && jump === 'BPF_JGE' && k !== 'x' ? Math.max(facts.length, k) : facts.length,
      tests: isFull ? after.tests : new Map(after.tests).set(keyOf(asked), result),
      values: isEqual && !isFull ? new Map(after.values).set(load.key, k) : after.values,
    }
  }
  return { plan, ifTrue: outcome(true), ifFalse: outcome(false) }
}

function constant(value: boolean, facts: Facts | undefined): Planned {
  return { plan: { kind: 'constant', value }, ifTrue: value ? facts : undefined, ifFalse: value ? undefined : facts }
}

/** `all` goes on while its parts are true, `any` while they are false. */
function planList(list: List, facts: Facts): Planned {
  const isAll = list.kind === 'all'
  const parts: Plan[] = []
  let on: Facts | undefined = facts
  let off: Facts | undefined
  for (const part of list.parts) {
    if (on === undefined) break
    const { plan, ifTrue, ifFalse } = planned(part, on)
    if (plan.kind === 'constant') {
      // With it the rest is decided: what comes before would change nothing. Otherwise it changes nothing itself.
      if (plan.value !== isAll) return constant(!isAll, facts)
      continue
    }
    parts.push(plan)
    on = isAll ? ifTrue : ifFalse
    off = join(off, isAll ? ifFalse : ifTrue)
  }
  if (parts.length === 0) return constant(isAll, facts)
  const [first] = parts
  const plan: Plan = parts.length === 1 && first !== undefined ? first : { kind: list.kind, parts }
  return isAll ? { plan, ifTrue: on, ifFalse: off } : { plan, ifTrue: off, ifFalse: on }
}

function planChoice({ on, yes, no }: Extract<Expression, { kind: 'choice' }>, facts: Facts): Planned {
  const asked = planned(on, facts)
  // A plan that is not a constant can end either way.
  if (asked.ifTrue === undefined || asked.ifFalse === undefined) {
    return planned(asked.ifFalse === undefined ? yes : no, facts)
  }
  const one = planned(yes, asked.ifTrue)
  const other = planned(no, asked.ifFalse)
  return {
    plan: { kind: 'choice', on: asked.plan, yes: one.plan, no: other.plan },
    ifTrue: join(one.ifTrue, other.ifTrue),
    ifFalse: join(one.ifFalse, other.ifFalse),
  }
}

function planned(expression: Expression, facts: Facts): Planned {
  switch (expression.kind) {
    case 'test':
      return planTest(expression, facts)
    case 'constant':
      return constant(expression.value, facts)
    case 'not': {
      const { plan, ifTrue, ifFalse } = planned(expression.part, facts)
      if (plan.kind === 'constant') return constant(!plan.value, facts)
      return { plan: { kind: 'not', part: plan }, ifTrue: ifFalse, ifFalse: ifTrue }
    }
    case 'choice':
      return planChoice(expression, facts)
    default:
      return planList(expression, facts)
  }
}

/** A program, from its last instruction to its first. A place is the number of instructions from there to the end. */
class Code {
  readonly backwards: FilterInstruction[] = []

  push(instruction: FilterInstruction): number {
    return this.backwards.push(instruction)
  }

  /** A conditional jump reaches 256 instructions ahead; farther it takes a plain jump right behind it. */
  branch(code: number, k: number, ifTrue: number, ifFalse: number): number {
    const reachable = (target: number, extra: number) =>
      this.backwards.length + extra - target <= 255 ? target : this.#jump(target)
    // The second plain jump moves the first target away by one.
    const near = reachable(ifTrue, 1)
    const other = ifTrue === ifFalse ? near : reachable(ifFalse, 0)
    const here = this.backwards.length
    return this.push({ code, jt: here - near, jf: here - other, k: k >>> 0 })
  }

  #jump(target: number): number {
    return this.push(step(bpf.BPF_JMP | bpf.BPF_JA, this.backwards.length - target))
  }
}

/** Puts a plan before what there is; returns where it begins. */
function generate(code: Code, plan: Plan, ifTrue: number, ifFalse: number): number {
  switch (plan.kind) {
    case 'constant':
      return plan.value ? ifTrue : ifFalse
    case 'not':
      return generate(code, plan.part, ifFalse, ifTrue)
    case 'test': {
      const source = plan.k === 'x' ? bpf.BPF_X : bpf.BPF_K
      let place = code.branch(bpf.BPF_JMP | bpf[plan.jump] | source, plan.k === 'x' ? 0 : plan.k, ifTrue, ifFalse)
      if (plan.loads) for (const instruction of [...plan.load.code].reverse()) place = code.push(instruction)
      if (plan.indexes && plan.load.index !== undefined) place = code.push(plan.load.index.code)
      return place
    }
    case 'choice': {
      const no = generate(code, plan.no, ifTrue, ifFalse)
      return generate(code, plan.on, generate(code, plan.yes, ifTrue, ifFalse), no)
    }
    default: {
      let next = plan.kind === 'all' ? ifTrue : ifFalse
      for (const part of [...plan.parts].reverse()) {
        next = plan.kind === 'all' ? generate(code, part, next, ifFalse) : generate(code, part, ifTrue, next)
      }
      return next
    }
  }
}

/**
 * The program of an expression: it returns `kept` when that is true, and 0 otherwise. `shortest` is the length of the shortest frame
 * that it will see.
 *
 * @throws RangeError when it has more instructions than the kernel takes
 */
export function compile(expression: Expression, kept: number, shortest: number): FilterInstruction[] {
  const nothing = { accumulator: undefined, index: undefined, tests: new Map(), values: new Map() }
  const { plan } = planned(expression, { length: shortest, ...nothing })
  const code = new Code()
  const result = step(bpf.BPF_RET | bpf.BPF_K, kept)
  // A program that always ends alike is its return alone.
  if (plan.kind === 'constant') return [plan.value ? result : step(bpf.BPF_RET | bpf.BPF_K)]
  const reject = code.push(step(bpf.BPF_RET | bpf.BPF_K))
  const accept = code.push(result)
  generate(code, plan, accept, reject)
  const { length } = code.backwards
  if (length > bpf.BPF_MAXINSNS) throw rangeError('the number of instructions', 1, bpf.BPF_MAXINSNS, length)
  return code.backwards.reverse()
}
