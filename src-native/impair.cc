#include "impair.h"

#include <stdlib.h>
#include <string.h>

#include <initializer_list>

namespace netkit {

namespace {

constexpr uint64_t kSecond = 1000000000;
constexpr uint64_t kBitsAByte = 8;

using Wide = unsigned __int128;

uint64_t Scaled(uint64_t value, uint64_t by, uint64_t of) {
  const Wide scaled = static_cast<Wide>(value) * by / of;
  return scaled > UINT64_MAX / 2 ? UINT64_MAX / 2 : static_cast<uint64_t>(scaled);
}

}  // namespace

uint64_t Chances::Next() {
  state_ += 0x9e3779b97f4a7c15u;
  uint64_t mixed = state_;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
  return mixed ^ (mixed >> 31);
}

bool Chances::Happens(uint32_t chance) {
  if (chance == 0) return false;
  return static_cast<uint32_t>(Next() >> 32) < chance || chance == UINT32_MAX;
}

uint64_t Chances::UpTo(uint64_t most) {
  return static_cast<uint64_t>(static_cast<Wide>(Next()) * (static_cast<Wide>(most) + 1) >> 64);
}

struct Impairment::Waiting {
  Waiting* next;
  uint64_t time;  // of arrival in for_rate_, of being due elsewhere
  uint32_t length;
  bool has_header;
  OffloadHeader header;

  uint8_t* bytes() { return reinterpret_cast<uint8_t*>(this + 1); }
};

void Impairment::Queue::Push(Waiting* frame) {
  frame->next = nullptr;
  (last == nullptr ? first : last->next) = frame;
  last = frame;
}

Impairment::Waiting* Impairment::Queue::Pop() {
  Waiting* frame = first;
  first = frame->next;
  if (first == nullptr) last = nullptr;
  return frame;
}

void Impairment::Set(const ImpairSettings& settings, uint64_t now) {
  // What the bucket lacks is bytes: they take another time at another rate.
  const uint64_t lack = full_at_ > now ? full_at_ - now : 0;
  const bool paid = settings.rate == 0 || settings_.rate == 0;
  full_at_ = paid ? now : now + Scaled(lack, settings_.rate, settings.rate);
  burst_time_ = settings.rate == 0 ? 0 : Scaled(settings.burst, kBitsAByte * kSecond, settings.rate);
  rest_ = 0;
  departure_ = 0;
  settings_ = settings;
}

Impairment::Waiting* Impairment::Copy(const uint8_t* frame, size_t length, const OffloadHeader* header) {
  const bool full = counters_.frames >= settings_.limit_frames || counters_.bytes + length > settings_.limit_bytes;
  // One frame always fits, so that a limit that is too small for any does not stop the link. Without anything to wait
  // for, what is here is a batch on its way.
  if (full && counters_.frames > 0 && settings_.holds()) return nullptr;
  Waiting* copy = static_cast<Waiting*>(malloc(sizeof(Waiting) + length));
  if (copy == nullptr) return nullptr;
  copy->length = static_cast<uint32_t>(length);
  copy->has_header = header != nullptr;
  copy->header = header == nullptr ? OffloadHeader{} : *header;
  memcpy(copy->bytes(), frame, length);
  counters_.frames++;
  counters_.bytes += length;
  return copy;
}

void Impairment::Damage(uint8_t* frame, size_t length) {
  if (length == 0 || !chances_.Happens(settings_.corrupt)) return;
  const uint64_t bit = chances_.UpTo(length * 8 - 1);
  frame[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
  counters_.corrupted++;
}

void Impairment::Push(const uint8_t* frame, size_t length, const OffloadHeader* header, uint64_t now) {
  if (chances_.Happens(settings_.loss)) {
    counters_.lost++;
    return;
  }
  const int copies = chances_.Happens(settings_.duplicate) ? 2 : 1;
  for (int i = 0; i < copies; i++) {
    if (i > 0) counters_.duplicated++;
    Waiting* copy = Copy(frame, length, header);
    if (copy == nullptr) {
      counters_.dropped++;
      continue;
    }
    Damage(copy->bytes(), length);
    copy->time = now;
    for_rate_.Push(copy);
  }
}

// The nanoseconds that so many bytes take at the rate; what is lost in rounding goes to the next frame.
uint64_t Impairment::Cost(uint64_t length, uint64_t* rest) const {
  const uint64_t whole = length * kBitsAByte * kSecond + rest_;
  *rest = whole % settings_.rate;
  return whole / settings_.rate;
}

// Lets the frames go that the rate allows until now, each at the time at which it was allowed to.
void Impairment::Depart(uint64_t now) {
  while (for_rate_.first != nullptr) {
    uint64_t at = for_rate_.first->time;
    if (settings_.rate != 0) {
      uint64_t rest = 0;
      const uint64_t cost = Cost(for_rate_.first->length, &rest);
      // A frame that is longer than the bucket goes when that is full, and leaves a debt.
      const uint64_t in_hand = burst_time_ > cost ? burst_time_ - cost : 0;
      const uint64_t allowed = full_at_ > in_hand ? full_at_ - in_hand : 0;
      if (allowed > at) at = allowed;
      if (at > now) {
        departure_ = at;
        return;
      }
      full_at_ = (full_at_ > at ? full_at_ : at) + cost;
      rest_ = rest;
    }
    Delay(for_rate_.Pop(), at);
  }
}

void Impairment::Delay(Waiting* frame, uint64_t from) {
  if (settings_.delay != 0 && chances_.Happens(settings_.reorder)) {
    if (delayed_.first != nullptr) counters_.reordered++;
    frame->time = from;
    undelayed_.Push(frame);
    return;
  }
  uint64_t due = from + settings_.delay;
  if (settings_.jitter != 0) {
    const uint64_t least = settings_.jitter > settings_.delay ? 0 : settings_.delay - settings_.jitter;
    due = from + least + chances_.UpTo(settings_.delay + settings_.jitter - least);
  }
  // A link keeps the order: one frame is not faster than the one before.
  if (due < last_due_) due = last_due_;
  last_due_ = due;
  frame->time = due;
  delayed_.Push(frame);
}

uint32_t Impairment::Take(uint64_t now, uint8_t* slab, size_t size, Span* spans, uint32_t max) {
  Depart(now);
  uint32_t count = 0;
  size_t position = 0;
  while (count < max) {
    Queue& queue =
        undelayed_.first != nullptr && (delayed_.first == nullptr || undelayed_.first->time <= delayed_.first->time)
            ? undelayed_
            : delayed_;
    Waiting* frame = queue.first;
    if (frame == nullptr || frame->time > now) break;
    const size_t before = frame->has_header ? kOffloadHeaderSize : 0;
    if (position > size || before + frame->length > size - position) break;
    queue.Pop();
    memcpy(slab + position, &frame->header, before);
    memcpy(slab + position + before, frame->bytes(), frame->length);
    spans[count].offset = static_cast<uint32_t>(position + before);
    spans[count].flagged_length = frame->length | (frame->has_header ? kHasHeader : 0);
    count++;
    position = (position + before + frame->length + kFrameAlignment - 1) & ~(kFrameAlignment - 1);
    counters_.frames--;
    counters_.bytes -= frame->length;
    free(frame);
  }
  return count;
}

uint64_t Impairment::next_due() const {
  uint64_t next = kNever;
  if (for_rate_.first != nullptr) next = departure_;
  if (delayed_.first != nullptr && delayed_.first->time < next) next = delayed_.first->time;
  if (undelayed_.first != nullptr && undelayed_.first->time < next) next = undelayed_.first->time;
  return next;
}

void Impairment::Clear() {
  for (Queue* queue : {&for_rate_, &delayed_, &undelayed_}) {
    while (queue->first != nullptr) free(queue->Pop());
  }
  counters_.frames = 0;
  counters_.bytes = 0;
}

}  // namespace netkit
