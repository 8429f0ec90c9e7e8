// Two ends inside the process: what is written to one is read from the other. The frames wait in memory; sockets are
// there only to be polled.
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <new>

#include "arguments.h"
#include "end.h"
#include "environment.h"
#include "functions.h"
#include "lock.h"

namespace netkit {

namespace {

constexpr size_t kLongest = kFrameRoom - kFrameAlignment;
constexpr uint32_t kEveryOffload =
    kOffloadChecksum | kOffloadTso4 | kOffloadTso6 | kOffloadTsoEcn | kOffloadUso4 | kOffloadUso6;

// What createPairEnds takes.
constexpr uint32_t kPairLayer3 = 1;
constexpr uint32_t kPairHeaders = 2;
constexpr uint32_t kMostFrames = 65536;

// The frames that wait for one end.
struct Ring {
  struct Slot {
    uint8_t* data;  // the header, if there is one, and the frame
    uint32_t flagged_length;
  };

  Mutex mutex;
  Slot* slots = nullptr;
  uint32_t first = 0;
  uint32_t count = 0;
  bool signalled = false;  // the end polls readable
  bool blocked = false;    // the other end, which writes here, does not poll writable
  bool closed = false;     // the end reads no more
  bool finished = false;   // the other end writes no more
};

// What both ends share. Each end has a descriptor to poll, the environment's, whose other side is hidden here: a byte
// from there makes it readable, and what it sends there, unread, makes it not writable.
class Pair {
 public:
  explicit Pair(uint32_t capacity) : capacity_(capacity) {}
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  // The descriptors of both ends. Returns 0 or a negated errno.
  int Prepare(int fds[2]);
  void Unref() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  int Read(int side, int fd, uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max, Tally& tally);
  int Write(int side, int fd, const uint8_t* slab, size_t size, const Span* spans, uint32_t count, Tally& tally);
  void Close(int side);

 private:
  ~Pair();

  void Signal(Ring& ring, int side);
  void Block(Ring& ring, int fd);
  void Unblock(Ring& ring, int side);

  const uint32_t capacity_;
  std::atomic<int> references_{2};
  Ring rings_[2];
  int hidden_[2] = {-1, -1};
};

int Pair::Prepare(int fds[2]) {
  fds[0] = fds[1] = -1;
  for (int side = 0; side < 2; side++) {
    int both[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, both) != 0) return -errno;
    fds[side] = both[0];
    hidden_[side] = both[1];
    // The kernel takes the least instead: one packet then fills it.
    const int least = 0;
    setsockopt(both[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
    rings_[side].slots = static_cast<Ring::Slot*>(calloc(capacity_, sizeof(Ring::Slot)));
    if (rings_[side].slots == nullptr) return -ENOMEM;
  }
  return 0;
}

Pair::~Pair() {
  for (int side = 0; side < 2; side++) {
    Ring& ring = rings_[side];
    for (; ring.count > 0; ring.count--, ring.first = (ring.first + 1) % capacity_) free(ring.slots[ring.first].data);
    free(ring.slots);
    if (hidden_[side] >= 0) close(hidden_[side]);
  }
}

void Pair::Signal(Ring& ring, int side) {
  if (ring.signalled || hidden_[side] < 0) return;
  const char byte = 1;
  ring.signalled = send(hidden_[side], &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

// Fills what the writer's descriptor may send, until it no longer polls writable.
void Pair::Block(Ring& ring, int fd) {
  static const char kFill[2048] = {};
  if (ring.blocked) return;
  for (int i = 0; i < 16; i++) {
    pollfd polled = {fd, POLLOUT, 0};
    if (send(fd, kFill, sizeof(kFill), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) break;
    if (poll(&polled, 1, 0) == 0) break;
  }
  ring.blocked = true;
}

void Pair::Unblock(Ring& ring, int side) {
  if (!ring.blocked || hidden_[side] < 0) return;
  char bytes[4096];
  while (recv(hidden_[side], bytes, sizeof(bytes), MSG_DONTWAIT) > 0) continue;
  ring.blocked = false;
}

int Pair::Read(int side, int fd, uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max, Tally& tally) {
  Ring& ring = rings_[side];
  Locked locked(ring.mutex);
  uint32_t count = 0;
  while (count < max && ring.count > 0) {
    Ring::Slot& slot = ring.slots[ring.first];
    const size_t header = (slot.flagged_length & kHasHeader) != 0 ? kOffloadHeaderSize : 0;
    const size_t length = slot.flagged_length & ~kHasHeader;
    position = (position + kFrameAlignment - 1) & ~(kFrameAlignment - 1);
    if (position > size || header + length > size - position) break;
    memcpy(slab + position, slot.data, header + length);
    spans[count++] = {static_cast<uint32_t>(position + header), slot.flagged_length};
    position += header + length;
    tally.Read(length);
    free(slot.data);
    slot.data = nullptr;
    ring.first = (ring.first + 1) % capacity_;
    ring.count--;
  }
  if (ring.count == 0 && ring.signalled && !ring.finished) {
    char bytes[16];
    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) continue;
    ring.signalled = false;
  }
  if (ring.count <= capacity_ / 2) Unblock(ring, 1 - side);
  if (count > 0) return static_cast<int>(count);
  if (ring.count > 0) return -ENOBUFS;
  return ring.finished ? -EPIPE : -EAGAIN;
}

int Pair::Write(int side, int fd, const uint8_t* slab, size_t size, const Span* spans, uint32_t count, Tally& tally) {
  Ring& ring = rings_[1 - side];
  Locked locked(ring.mutex);
  if (ring.closed || ring.finished) return -EPIPE;
  uint32_t done = 0;
  for (; done < count && ring.count < capacity_; done++) {
    const Span& span = spans[done];
    const size_t header = span.has_header() ? kOffloadHeaderSize : 0;
    const size_t length = span.length();
    if (length == 0 || span.offset > size || length > size - span.offset || span.offset < header) {
      tally.Refused(EINVAL);
      continue;
    }
    uint8_t* data = length > kLongest ? nullptr : static_cast<uint8_t*>(malloc(header + length));
    if (data == nullptr) {
      tally.Refused(length > kLongest ? EMSGSIZE : ENOMEM);
      continue;
    }
    memcpy(data, slab + span.offset - header, header + length);
    ring.slots[(ring.first + ring.count) % capacity_] = {data, span.flagged_length};
    ring.count++;
    tally.Written(length);
  }
  if (ring.count > 0) Signal(ring, 1 - side);
  if (done < count) Block(ring, fd);
  return done > 0 || count == 0 ? static_cast<int>(done) : -EAGAIN;
}

void Pair::Close(int side) {
  Locked first(rings_[0].mutex);
  Locked second(rings_[1].mutex);
  // What waits for this end is lost, and who writes to it learns that.
  Ring& own = rings_[side];
  own.closed = true;
  for (; own.count > 0; own.count--, own.first = (own.first + 1) % capacity_) {
    free(own.slots[own.first].data);
    own.slots[own.first].data = nullptr;
  }
  Unblock(own, 1 - side);
  // The other end reads what waits for it, and then the end.
  Ring& other = rings_[1 - side];
  other.finished = true;
  Signal(other, 1 - side);
  // Nobody polls this end any more.
  other.blocked = false;
  close(hidden_[side]);
  hidden_[side] = -1;
}

class PairEnd : public End {
 public:
  static const char kKind;

  PairEnd(int fd, uint32_t flags, Pair* pair, int side)
      : End(fd, (flags & kPairLayer3) != 0), pair_(pair), side_(side), headers_((flags & kPairHeaders) != 0) {}

  int Read(uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max, FrameDetail* details) override {
    int count;
    {
      Tally tally(counters_);
      count = pair_->Read(side_, fd_, slab, size, position, spans, max, tally);
    }
    if (count > 0) DetailNow(details, spans, static_cast<uint32_t>(count), 0);
    return count;
  }

  int Write(const uint8_t* slab, size_t size, const Span* spans, uint32_t count) override {
    Tally tally(counters_);
    return pair_->Write(side_, fd_, slab, size, spans, count, tally);
  }

  uint32_t offloads() const override { return headers_ ? kEveryOffload : 0; }
  bool batches() const override { return true; }
  const void* kind() const override { return &kKind; }

  void Close() {
    if (!closed_.exchange(true, std::memory_order_acq_rel)) pair_->Close(side_);
  }

 protected:
  ~PairEnd() override {
    Close();
    pair_->Unref();
  }

 private:
  Pair* const pair_;
  const int side_;
  const bool headers_;
  std::atomic<bool> closed_{false};
};

const char PairEnd::kKind = 0;

}  // namespace

napi_value CreatePairEnds(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  uint32_t capacity = arguments.Unsigned(0);
  uint32_t flags = arguments.Unsigned(1);
  if (!arguments.ok()) return nullptr;
  if (capacity == 0 || capacity > kMostFrames) return Number(env, -EINVAL);
  Environment& environment = arguments.environment();
  Pair* pair = new Pair(capacity);
  int fds[2];
  const int error = pair->Prepare(fds);
  if (error != 0) {
    for (int fd : fds) {
      if (fd >= 0) close(fd);
    }
    pair->Unref();
    pair->Unref();
    return Number(env, error);
  }
  napi_value result = nullptr;
  napi_create_array_with_length(env, 4, &result);
  for (int side = 0; side < 2; side++) {
    environment.descriptors().Own(fds[side]);
    napi_value end = WrapEnd(environment, new PairEnd(fds[side], flags, pair, side));
    if (end == nullptr) return nullptr;
    napi_set_element(env, result, static_cast<uint32_t>(2 * side), end);
    napi_set_element(env, result, static_cast<uint32_t>(2 * side + 1), Number(env, fds[side]));
  }
  return result;
}

napi_value ClosePairEnd(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  if (!arguments.ok()) return nullptr;
  End* end = EndOf(env, arguments.value(0));
  if (end == nullptr) return nullptr;
  if (end->kind() != &PairEnd::kKind) {
    napi_throw_type_error(env, nullptr, "not an end of a pair");
    return nullptr;
  }
  static_cast<PairEnd*>(end)->Close();
  return nullptr;
}

}  // namespace netkit
