#include "stream_end.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "environment.h"
#include "functions.h"

namespace netkit {

namespace {

// Bytes of a frame's length.
constexpr size_t kHead = 4;
constexpr size_t kWhole = kHead + StreamEnd::kLongest;
// Frames of one sendmsg(2): each has two parts, and UIO_MAXIOV is 1024.
constexpr uint32_t kFrames = 256;

uint32_t LengthAt(const uint8_t* bytes) {
  return static_cast<uint32_t>(bytes[0]) << 24 | static_cast<uint32_t>(bytes[1]) << 16 |
         static_cast<uint32_t>(bytes[2]) << 8 | bytes[3];
}

void PutLength(uint8_t* bytes, uint32_t length) {
  bytes[0] = static_cast<uint8_t>(length >> 24);
  bytes[1] = static_cast<uint8_t>(length >> 16);
  bytes[2] = static_cast<uint8_t>(length >> 8);
  bytes[3] = static_cast<uint8_t>(length);
}

}  // namespace

const char StreamEnd::kKind = 0;

StreamEnd::~StreamEnd() {
  if (quiet_ >= 0) close(quiet_);
  free(rest_);
  free(unsent_);
}

int StreamEnd::Prepare() {
  rest_ = static_cast<uint8_t*>(malloc(kWhole));
  unsent_ = static_cast<uint8_t*>(malloc(kWhole));
  if (rest_ == nullptr || unsent_ == nullptr) return -ENOMEM;
  if (!lasting_) return 0;
  quiet_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (quiet_ < 0 || dup3(quiet_, fd_, O_CLOEXEC) < 0) return -errno;
  state_.store(-ENOTCONN, std::memory_order_release);
  return 0;
}

int StreamEnd::SetDescriptor(int fd) {
  Locked reader(reading_);
  Locked writer(writing_);
  if (quiet_ < 0) return -EINVAL;
  if (dup3(fd, fd_, O_CLOEXEC) < 0) return -errno;
  rest_length_ = 0;
  DropUnsent();
  generation_.fetch_add(1, std::memory_order_acq_rel);
  state_.store(0, std::memory_order_release);
  // Wakes who waits in poll(2) for what was there before.
  eventfd_write(quiet_, 1);
  return 0;
}

void StreamEnd::Disconnect(int error, uint32_t generation) {
  Locked reader(reading_);
  // The next connection has nothing to do with it.
  if (generation_.load(std::memory_order_relaxed) == generation) GoDown(error);
}

void StreamEnd::Release() {
  Locked reader(reading_);
  Locked writer(writing_);
  if (state_.load(std::memory_order_relaxed) == 0) state_.store(-EBADF, std::memory_order_release);
  if (quiet_ >= 0) close(quiet_);
  quiet_ = -1;
}

// With writing_ held.
void StreamEnd::DropUnsent() {
  if (unsent_length_.load(std::memory_order_relaxed) == 0) return;
  Tally(counters_).Refused(ENOTCONN);
  unsent_length_.store(0, std::memory_order_release);
}

// With reading_ held: leaves a connection that has ended.
void StreamEnd::GoDown(int error) {
  Locked writer(writing_);
  if (state_.load(std::memory_order_relaxed) != 0) return;
  rest_length_ = 0;
  DropUnsent();
  state_.store(error, std::memory_order_release);
  if (lasting_) {
    // Nothing is to be read there, so that whoever polls the descriptor sleeps.
    eventfd_t value;
    eventfd_read(quiet_, &value);
    dup3(quiet_, fd_, O_CLOEXEC);
    generation_.fetch_add(1, std::memory_order_acq_rel);
  }
  eventfd_write(signal_, 1);
}

// With reading_ held: what a Read() answers for which there is nothing to read any more.
int StreamEnd::Ended(int error) {
  GoDown(error);
  return lasting_ ? -EAGAIN : error;
}

int StreamEnd::Read(uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max, FrameDetail* details) {
  Locked reader(reading_);
  const int state = state_.load(std::memory_order_relaxed);
  if (state != 0) return lasting_ ? -EAGAIN : state;
  position = (position + kFrameAlignment - 1) & ~(kFrameAlignment - 1);
  if (max == 0 || position > size || size - position < kFrameRoom) return -ENOBUFS;
  Tally tally(counters_);
  Window window = {slab, position, rest_length_, 0};
  if (rest_length_ > 0) memcpy(slab + position, rest_, rest_length_);
  rest_length_ = 0;

  int error = 0;
  for (;;) {
    error = Parse(window, spans, max, tally);
    if (error != 0 || window.count == max) break;
    // There is room for the frame that is under way, whatever its length.
    if (size - window.start < kWhole) break;
    // Never more bytes than hold the frames that are still wanted, were they as short as can be: what is read can be
    // handed over, and what waits is in the kernel, so that the descriptor polls readable.
    size_t wanted = (max - window.count - 1) * (kHead + kShortest) + kHead;
    if (window.have >= kHead) {
      wanted += kHead + LengthAt(slab + window.start) - window.have;
    } else {
      wanted += kHead + kShortest - window.have;
    }
    const size_t room = size - window.start - window.have;
    if (wanted > room) wanted = room;
    ssize_t length;
    do {
      length = recv(fd_, slab + window.start + window.have, wanted, MSG_DONTWAIT);
    } while (length < 0 && errno == EINTR);
    if (length <= 0) {
      // The other side has closed it, in the middle of a frame or between two.
      error = length == 0 ? -EPIPE : -errno;
      break;
    }
    window.have += static_cast<size_t>(length);
    if (static_cast<size_t>(length) < wanted) {
      error = Parse(window, spans, max, tally);
      if (error == 0) error = -EAGAIN;
      break;
    }
  }
  if (error == 0 || error == -EAGAIN) {
    if (window.have > 0) memcpy(rest_, slab + window.start, window.have);
    rest_length_ = window.have;
    // Without an error the slab is full of what is too short to be a frame: more waits in the kernel, which tells.
    if (window.count == 0) return -EAGAIN;
  } else {
    // Frames before the end are handed over first. A stream that is ended stays so.
    error = Ended(error);
    if (window.count == 0) return error;
  }
  DetailNow(details, spans, window.count, 1);
  return static_cast<int>(window.count);
}

// Makes spans of all whole frames.
int StreamEnd::Parse(Window& window, Span* spans, uint32_t max, Tally& tally) {
  while (window.have >= kHead) {
    const uint32_t length = LengthAt(window.slab + window.start);
    if (length == 0 || length > kLongest) return -EPROTO;
    if (window.have < kHead + length) return 0;
    if (length < kShortest) {
      tally.Refused(EINVAL);
    } else {
      if (window.count == max) return 0;
      spans[window.count++] = {static_cast<uint32_t>(window.start + kHead), length};
      tally.Read(length);
    }
    window.start += kHead + length;
    window.have -= kHead + length;
  }
  return 0;
}

// With writing_ held: the rest of a frame that was begun. Returns 0 when nothing is left of it.
int StreamEnd::SendUnsent() {
  for (;;) {
    const size_t left = unsent_length_.load(std::memory_order_relaxed);
    if (left == 0) return 0;
    const ssize_t length = send(fd_, unsent_ + unsent_start_, left, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return -errno;
    unsent_start_ += static_cast<size_t>(length);
    unsent_length_.store(left - static_cast<size_t>(length), std::memory_order_release);
    if (static_cast<size_t>(length) == left) Tally(counters_).Written(unsent_frame_);
  }
}

int StreamEnd::Flush() {
  int error;
  uint32_t generation;
  {
    Locked writer(writing_);
    if (state_.load(std::memory_order_relaxed) != 0) return 0;
    generation = generation_.load(std::memory_order_relaxed);
    error = SendUnsent();
  }
  // Reading tells of the end.
  if (error != 0 && error != -EAGAIN) Disconnect(error, generation);
  return 0;
}

int StreamEnd::Write(const uint8_t* slab, size_t size, const Span* spans, uint32_t count) {
  Tally tally(counters_);
  uint32_t done = 0;
  int error = 0;
  uint32_t generation = 0;
  {
    Locked writer(writing_);
    generation = generation_.load(std::memory_order_relaxed);
    error = state_.load(std::memory_order_relaxed);
    if (error == 0) error = SendUnsent();
    while (done < count && error == 0) {
      iovec parts[2 * kFrames];
      uint8_t heads[kFrames][kHead];
      uint32_t frames = 0;
      size_t total = 0;
      for (; frames < kFrames && done + frames < count; frames++) {
        const Span& span = spans[done + frames];
        const uint32_t length = span.length();
        if (length < kShortest || length > kLongest || span.offset > size || length > size - span.offset) break;
        PutLength(heads[frames], length);
        parts[2 * frames] = {heads[frames], kHead};
        parts[2 * frames + 1] = {const_cast<uint8_t*>(slab + span.offset), length};
        total += kHead + length;
      }
      if (frames == 0) {
        tally.Refused(spans[done].length() > kLongest ? EMSGSIZE : EINVAL);
        done++;
        continue;
      }
      msghdr message = {};
      message.msg_iov = parts;
      message.msg_iovlen = 2 * frames;
      const ssize_t length = sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (length < 0 && errno == EINTR) continue;
      if (length < 0) {
        error = -errno;
        break;
      }
      size_t sent = static_cast<size_t>(length);
      const bool short_of = sent < total;
      uint32_t i = 0;
      for (; i < frames && sent >= kHead + parts[2 * i + 1].iov_len; i++) {
        sent -= kHead + parts[2 * i + 1].iov_len;
        tally.Written(parts[2 * i + 1].iov_len);
      }
      if (sent > 0) {
        // A frame that was begun has to be finished before anything else.
        Keep(parts + 2 * i, sent);
        i++;
      }
      done += i;
      if (short_of) error = -EAGAIN;
    }
  }
  if (error == 0) return static_cast<int>(count);
  if (error == -EAGAIN) return done > 0 ? static_cast<int>(done) : -EAGAIN;
  // Nobody takes them, and the signal tells why: what is written to nobody never fails.
  Disconnect(error, generation);
  for (; done < count; done++) tally.Refused(ENOTCONN);
  return static_cast<int>(count);
}

// Takes over what was not sent of the frame in two parts.
void StreamEnd::Keep(const iovec* parts, size_t sent) {
  size_t length = 0;
  for (int i = 0; i < 2; i++) {
    const size_t skipped = sent < parts[i].iov_len ? sent : parts[i].iov_len;
    sent -= skipped;
    const size_t left = parts[i].iov_len - skipped;
    if (left > 0) memcpy(unsent_ + length, static_cast<const uint8_t*>(parts[i].iov_base) + skipped, left);
    length += left;
  }
  unsent_start_ = 0;
  unsent_frame_ = parts[1].iov_len;
  unsent_length_.store(length, std::memory_order_release);
}

namespace {

StreamEnd* StreamEndOf(napi_env env, napi_value object) {
  End* end = EndOf(env, object);
  if (end == nullptr) return nullptr;
  if (end->kind() == &StreamEnd::kKind) return static_cast<StreamEnd*>(end);
  napi_throw_type_error(env, nullptr, "not a stream end");
  return nullptr;
}

}  // namespace

napi_value CreateStreamEnd(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  int fd = arguments.Integer(0);
  int signal = arguments.Integer(1);
  bool lasting = arguments.Unsigned(2) != 0;
  if (!arguments.ok()) return nullptr;
  StreamEnd* end = new StreamEnd(fd, signal, lasting);
  const int error = end->Prepare();
  if (error == 0) return WrapEnd(arguments.environment(), end);
  end->Unref();
  return Number(env, error);
}

napi_value SetStreamDescriptor(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  int fd = arguments.Integer(1);
  if (!arguments.ok()) return nullptr;
  StreamEnd* end = StreamEndOf(env, arguments.value(0));
  return end == nullptr ? nullptr : Number(env, end->SetDescriptor(fd));
}

napi_value ReleaseStreamEnd(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  if (!arguments.ok()) return nullptr;
  StreamEnd* end = StreamEndOf(env, arguments.value(0));
  if (end != nullptr) end->Release();
  return nullptr;
}

napi_value StreamState(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  if (!arguments.ok()) return nullptr;
  StreamEnd* end = StreamEndOf(env, arguments.value(0));
  return end == nullptr ? nullptr : Number(env, end->state());
}

}  // namespace netkit
