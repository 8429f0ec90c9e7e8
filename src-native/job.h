// A piece of work for a thread that has no JavaScript, and the way its result comes back.
#ifndef NETKIT_JOB_H_
#define NETKIT_JOB_H_

#include <errno.h>
#include <node_api.h>
#include <uv.h>

#include "descriptor.h"

namespace netkit {

class Environment;

// Made, finished and deleted on the loop's thread; only Run() is called elsewhere. What a job has opened is closed by
// its destructor unless Finish() gave it away, so a job may be dropped at any stage.
class Job {
 public:
  Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual ~Job() = default;

  // On a thread without JavaScript.
  virtual void Run() = 0;
  // Instead of Run(), when no thread could be had; `error` is a negated errno.
  virtual void Refuse(int error) = 0;
  // On the loop's thread, after Run() or Refuse(): the value of the promise.
  virtual napi_value Finish(Environment& environment) = 0;
  // On the loop's thread: deletes the references to JavaScript values.
  virtual void ReleaseValues(napi_env) {}

 private:
  friend class Environment;
  friend class JobList;
  friend class EnteringThreads;

  Job* next_ = nullptr;
  napi_ref resolve_ = nullptr;  // the promise's resolve function; null when nobody waits
  int used_descriptor_ = -1;    // one that must not be closed before this job is done
  int behind_ = -1;             // this one starts when nothing uses that descriptor any more
  bool own_thread_ = false;     // it ran, or runs, on thread_
  bool long_ = false;           // a LongJob
  uv_thread_t thread_ = {};
  Environment* environment_ = nullptr;
};

// A job with a thread of its own that runs until it is told to stop: a pump, a switch. Started by
// Environment::SubmitLong(), and stopped and joined at the environment's end at the latest.
class LongJob : public Job {
 public:
  // On the loop's thread, any number of times, also before Run() and after it: Run() is to return soon.
  virtual void Stop() = 0;
  // On the loop's thread, some time after Environment::Notify(). JavaScript may be called.
  virtual void Notified(Environment&) {}

 private:
  friend class Environment;

  LongJob* previous_long_ = nullptr;
  LongJob* next_long_ = nullptr;
  bool referenced_ = true;
  bool notified_ = false;  // guarded by the environment's mutex
};

// A job that answers with one number.
class NumberJob : public Job {
 public:
  void Refuse(int error) override { result_ = error; }
  napi_value Finish(Environment& environment) override;

 protected:
  int result_ = 0;
};

// A job that may have to enter a namespace first. It then runs on a thread of its own, which ends with it.
class EnteringJob : public Job {
 public:
  // `fd` is -1 for the namespace that the environment started in. The descriptor is duplicated, because the caller may
  // close it before the thread starts. Returns 0 or a negated errno.
  int SetNamespace(int fd) { return fd < 0 ? 0 : namespace_.Duplicate(fd); }
  bool enters() const { return namespace_.valid(); }

 protected:
  // Returns 0 or the negated errno of setns(2).
  int Enter();

 private:
  Descriptor namespace_;
};

// A job that answers with a descriptor, which the environment owns from then on, or with a negated errno.
class DescriptorJob : public EnteringJob {
 public:
  void Refuse(int error) override { error_ = error; }
  napi_value Finish(Environment& environment) override;

 protected:
  // What a call like open(2) returned.
  void Answer(int fd) {
    error_ = fd < 0 ? -errno : 0;
    fd_.Reset(fd);
  }

  int error_ = 0;

 private:
  Descriptor fd_;
};

// First in, first out; not synchronised.
class JobList {
 public:
  bool empty() const { return first_ == nullptr; }

  void Push(Job* job) {
    job->next_ = nullptr;
    (last_ == nullptr ? first_ : last_->next_) = job;
    last_ = job;
  }

  Job* Pop() {
    Job* job = first_;
    if (job == nullptr) return nullptr;
    first_ = job->next_;
    if (first_ == nullptr) last_ = nullptr;
    return job;
  }

  void Append(JobList& other) {
    while (Job* job = other.Pop()) Push(job);
  }

  void Swap(JobList& other) {
    JobList copy = other;
    other = *this;
    *this = copy;
  }

 private:
  Job* first_ = nullptr;
  Job* last_ = nullptr;
};

}  // namespace netkit

#endif  // NETKIT_JOB_H_
