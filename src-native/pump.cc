#include "pump.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <new>

namespace netkit {

namespace {

constexpr uint64_t kMillisecond = 1000000;
constexpr uint64_t kSecond = 1000 * kMillisecond;
// How long an end is left alone then, if it is a socket.
constexpr uint64_t kRest = 10 * kMillisecond;
// After so many polls in a row that say "error", where reading finds none, the end is looked into.
constexpr uint32_t kMostEmptyErrors = 16;
constexpr short kTrouble = POLLERR | POLLHUP | POLLNVAL;

}  // namespace

Pump::Pump(End& a, End& b, uint32_t directions, uint64_t spin)
    // As a capture at A has it: what comes from there is inbound (1), what goes there is outbound (2).
    : ends_{&a, &b}, layer3_(a.layer3()), directions_(directions), spin_(spin), flows_{{a, b, 1}, {b, a, 2}} {
  a.Ref();
  b.Ref();
}

Pump* Pump::Create(End& a, End& b, uint32_t directions, uint64_t spin, int* error) {
  *error = -ENOMEM;
  Pump* pump = new (std::nothrow) Pump(a, b, directions, spin);
  if (pump == nullptr) return nullptr;
  const bool offload = a.offloads() != 0 || b.offloads() != 0;
  // A frame's room beside the slab, so that the last one fits too.
  const size_t room = a.room() > b.room() ? a.room() : b.room();
  pump->slab_size_ = offload ? kOffloadSlab : kPlainSlab;
  if (pump->slab_size_ < 2 * room) pump->slab_size_ = 2 * room;
  // Memory that nobody has used yet costs nothing.
  void* memory =
      mmap(nullptr, 2 * pump->slab_size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory != MAP_FAILED) {
    pump->slabs_[0] = static_cast<uint8_t*>(memory);
    pump->slabs_[1] = pump->slabs_[0] + pump->slab_size_;
    pump->wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (pump->wake_ >= 0) return pump;
    *error = -errno;
  }
  pump->Unref();
  return nullptr;
}

Pump::~Pump() {
  Retire();
  pthread_mutex_destroy(&mutex_);
}

void Pump::Retire() {
  if (ends_[0] == nullptr) return;
  if (slabs_[0] != nullptr) munmap(slabs_[0], 2 * slab_size_);
  if (wake_ >= 0) close(wake_);
  wake_ = -1;
  for (uint32_t i = 0; i < running_tee_count_; i++) running_tees_[i].tee->Unref();
  for (uint32_t i = 0; i < tee_count_; i++) tees_[i].tee->Unref();
  running_tee_count_ = tee_count_ = 0;
  for (uint32_t i = 0; i < 2; i++) {
    flows_[i].Retire();
    if (has_changed_[i]) delete changed_[i].filter;
    has_changed_[i] = false;
    ends_[i]->Unref();
    ends_[i] = nullptr;
  }
}

void Pump::Tell(uint32_t set, uint32_t clear) {
  state_.fetch_and(~clear, std::memory_order_acq_rel);
  state_.fetch_or(set, std::memory_order_acq_rel);
  if (wake_ < 0) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof(one));
}

void Pump::Stop() { Tell(kStopped, 0); }

void Pump::Pause(bool paused) { paused ? Tell(kPaused, 0) : Tell(0, kPaused); }

void Pump::Set(Direction direction, const FlowSettings& settings) {
  if (ends_[0] == nullptr) {
    delete settings.filter;
    return;
  }
  pthread_mutex_lock(&mutex_);
  FlowSettings& changed = changed_[direction];
  // Two changes may come before the thread looks: a seed of the first is still to be taken.
  const bool seeds = has_changed_[direction] && changed.seeds && !settings.seeds;
  const uint64_t seed = changed.seed;
  if (has_changed_[direction]) delete changed.filter;
  changed = settings;
  if (seeds) {
    changed.seeds = true;
    changed.seed = seed;
  }
  has_changed_[direction] = true;
  pthread_mutex_unlock(&mutex_);
  Tell(kChanged, 0);
}

int Pump::SetTee(TeeEnd& tee, uint32_t points) {
  int error = 0;
  if (ends_[0] == nullptr) return 0;
  pthread_mutex_lock(&mutex_);
  uint32_t i = 0;
  while (i < tee_count_ && tees_[i].tee != &tee) i++;
  if (i < tee_count_ && points != 0) {
    tees_[i].points = points;
  } else if (i < tee_count_) {
    tees_[i] = tees_[--tee_count_];
    tee.Unref();
  } else if (points != 0 && tee_count_ == kMostTees) {
    error = -ENOSPC;
  } else if (points != 0) {
    tee.Ref();
    tees_[tee_count_++] = {&tee, points};
  }
  pthread_mutex_unlock(&mutex_);
  if (error == 0) Tell(kChanged, 0);
  return error;
}

void Pump::TakeChanges() {
  state_.fetch_and(~static_cast<uint32_t>(kChanged), std::memory_order_acq_rel);
  pthread_mutex_lock(&mutex_);
  for (uint32_t i = 0; i < 2; i++) {
    if (has_changed_[i]) flows_[i].Set(changed_[i]);
    has_changed_[i] = false;
    ready_[i] = true;
  }
  for (uint32_t i = 0; i < running_tee_count_; i++) running_tees_[i].tee->Unref();
  running_tee_count_ = tee_count_;
  FlowTee tees[2][kMostTees] = {};
  for (uint32_t i = 0; i < tee_count_; i++) {
    running_tees_[i] = tees_[i];
    tees_[i].tee->Ref();
    tees[kForward][i] = {tees_[i].tee, tees_[i].points & ((1u << kTeeShift) - 1)};
    tees[kBackward][i] = {tees_[i].tee, tees_[i].points >> kTeeShift};
  }
  for (uint32_t i = 0; i < 2; i++) flows_[i].SetTees(tees[i], tee_count_);
  pthread_mutex_unlock(&mutex_);
}

void Pump::Over(int end, int error, bool in_write) {
  if (outcome_.error != 0) return;
  outcome_ = {error, end, in_write};
}

// One slab does for both directions, and stays in the cache, as long as everything read is written at once.
uint8_t* Pump::SlabFor(uint32_t direction) {
  const uint8_t* kept = flows_[direction].slab();
  if (kept != nullptr) return kept == slabs_[0] ? slabs_[0] : slabs_[1];
  return flows_[1 - direction].slab() == slabs_[0] ? slabs_[1] : slabs_[0];
}

// Returns whether there may be more at once.
bool Pump::TurnAll() {
  bool more = false;
  for (uint32_t i = 0; i < 2; i++) {
    if (!active(i) || !ready_[i]) continue;
    Flow& flow = flows_[i];
    const bool again = flow.Turn(SlabFor(i), slab_size_);
    if (flow.failed() != Flow::Side::kNone) {
      const bool in_write = flow.failed() == Flow::Side::kTarget;
      Over(static_cast<int>(in_write ? 1 - i : i), flow.error(), in_write);
      return false;
    }
    retry_at_[i] = flow.stuck() ? Flow::Now() + kMillisecond : 0;
    more = more || again;
    ready_[i] = again;
  }
  // While one direction is busy nothing polls: the other one looks for itself.
  if (more) {
    for (uint32_t i = 0; i < 2; i++) ready_[i] = !flows_[i].blocked();
  }
  return more;
}

void Pump::Run() {
  prctl(PR_SET_NAME, "netkit-pump");
  for (;;) {
    const uint32_t state = state_.load(std::memory_order_acquire);
    if ((state & kStopped) != 0) return;
    if ((state & kChanged) != 0) TakeChanges();
    const bool paused = (state & kPaused) != 0;
    const bool more = !paused && TurnAll();
    if (outcome_.error != 0) return;
    // One direction that is never done does not keep the other from what it waits for.
    if (!more || Waits()) Wait(paused, more);
    if (outcome_.error != 0) return;
  }
}

// Whether there is something to write, once there is room for it.
bool Pump::Waits() const {
  for (uint32_t i = 0; i < 2; i++) {
    if (flows_[i].blocked() || ends_[i]->wants_write()) return true;
  }
  return false;
}

// Sleeps until something can be done, not at all when there is `more` already, and finds out for which flow.
void Pump::Wait(bool paused, bool more) {
  pollfd polled[3] = {{wake_, POLLIN, 0}, {-1, 0, 0}, {-1, 0, 0}};
  const uint64_t until = paused ? Impairment::kNever : Prepare(polled + 1);
  if (outcome_.error != 0) return;
  timespec timeout = {};
  const bool forever = until == Impairment::kNever && !more;
  if (until != Impairment::kNever && !more) {
    const uint64_t now = Flow::Now();
    const uint64_t left = until > now ? until - now : 0;
    timeout = {static_cast<time_t>(left / kSecond), static_cast<long>(left % kSecond)};
  }
  int count = paused || more ? 0 : Spin(polled, until);
  if (count == 0) count = ppoll(polled, 3, forever ? nullptr : &timeout, nullptr);
  if (count < 0) return;  // EINTR: the caller polls again

  if (polled[0].revents != 0) {
    uint64_t wakes;
    [[maybe_unused]] const ssize_t got = read(wake_, &wakes, sizeof(wakes));
  }
  if (paused) {
    ready_[0] = ready_[1] = true;
    return;
  }
  for (int i = 0; i < 2; i++) {
    if (polled[1 + i].revents != 0) Answer(i, polled[1 + i].revents);
  }
  if (until == Impairment::kNever) return;
  const uint64_t now = Flow::Now();
  for (uint32_t i = 0; i < 2; i++) {
    const uint64_t due = flows_[i].blocked() ? Impairment::kNever : flows_[i].next_due();
    if (due <= now || (retry_at_[i] != 0 && retry_at_[i] <= now)) ready_[i] = true;
    if (rests_until_[i] <= now) rests_until_[i] = 0;
    if (look_at_[i] != 0 && look_at_[i] <= now) ready_[i] = true;
  }
}

// Polls without sleeping for as long as was asked for: what comes within it is not kept waiting by a wake-up.
int Pump::Spin(pollfd* polled, uint64_t until) const {
  if (spin_ == 0) return 0;
  const uint64_t end = Flow::Now() + spin_;
  int count = 0;
  do {
    count = poll(polled, 3, 0);
  } while (count == 0 && Flow::Now() < (until < end ? until : end));
  return count;
}

// What to poll the two ends for. Returns when to stop waiting for it.
uint64_t Pump::Prepare(pollfd* polled) {
  uint64_t until = Impairment::kNever;
  for (uint32_t i = 0; i < 2; i++) {
    const Flow& from = flows_[i];
    const Flow& to = flows_[1 - i];
    short events = ends_[i]->wants_write() ? POLLOUT : 0;
    if (active(i) && !from.blocked()) events |= POLLIN;
    if (to.blocked() && retry_at_[1 - i] == 0) events |= POLLOUT;
    // An end that nobody reads tells only of its end. One whose reading has to wait would tell of it again and again.
    const bool listens = events != 0 || (!active(i) && !unheard_[i]);
    const int fd = ends_[i]->fd();
    if (fd < 0 && events != 0) Over(static_cast<int>(i), -EPIPE, false);
    if (listens && rests_until_[i] == 0) polled[i] = {fd, events, 0};
    const uint64_t due = from.blocked() ? Impairment::kNever : from.next_due();
    if (due < until) until = due;
    if (retry_at_[i] != 0 && retry_at_[i] < until) until = retry_at_[i];
    if (rests_until_[i] != 0 && rests_until_[i] < until) until = rests_until_[i];
    const uint32_t again = active(i) && !from.blocked() ? ends_[i]->look_again() : 0;
    look_at_[i] = again != 0 ? Flow::Now() + again * kMillisecond : 0;
    if (again != 0 && look_at_[i] < until) until = look_at_[i];
  }
  return until;
}

void Pump::Answer(int end, short seen) {
  End& each = *ends_[end];
  const uint32_t from = static_cast<uint32_t>(end);  // the flow that reads it
  const uint32_t to = 1 - from;                      // the flow that writes it
  if ((seen & (POLLOUT | kTrouble)) != 0) {
    if (each.wants_write()) {
      const int error = each.Flush();
      if (error < 0 && error != -EAGAIN) return Over(end, error, true);
    }
    if (flows_[to].blocked()) ready_[to] = true;
  }
  if (active(from) && (seen & (POLLIN | kTrouble)) != 0) ready_[from] = true;
  // Only reading tells whether trouble is an end (a deleted interface) or passes (an ICMP error).
  const uint64_t frames = flows_[from].counters().frames.load(std::memory_order_relaxed);
  const bool empty = (seen & kTrouble) != 0 && frames == frames_before_[end];
  frames_before_[end] = frames;
  empty_errors_[end] = empty ? empty_errors_[end] + 1 : 0;
  if (!active(from) ? (seen & kTrouble) != 0 : empty_errors_[end] > kMostEmptyErrors) Examine(end);
}

// An end is in trouble that nobody reads, or that reading does not find.
void Pump::Examine(int end) {
  int error = 0;
  socklen_t size = sizeof(error);
  empty_errors_[end] = 0;
  const int fd = ends_[end]->fd();
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
    // Flush() may have found the end of a connection, in whose place there is another file now.
    pollfd polled = {fd, 0, 0};
    if (poll(&polled, 1, 0) == 0) return;
    // No socket, so a device, and that has no trouble but this.
    Over(end, -ENODEV, false);
  } else if (active(static_cast<uint32_t>(end))) {
    // Reading says that it may come back, and does not say when.
    rests_until_[end] = Flow::Now() + kRest;
  } else if (error == 0) {
    unheard_[end] = true;  // writing will tell
  }
}

}  // namespace netkit
