#include "work_thread.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "environment.h"

namespace netkit {

int WorkThread::Start(Environment* environment, const char* name) {
  environment_ = environment;
  name_ = name;
  int error = uv_mutex_init(&mutex_);
  if (error != 0) return error;
  error = uv_cond_init(&wake_);
  if (error != 0) {
    uv_mutex_destroy(&mutex_);
    return error;
  }
  uv_sem_init(&ready_, 0);
  error = uv_thread_create(&thread_, Main, this);
  running_ = error == 0;
  if (running_) {
    uv_sem_wait(&ready_);  // namespace_path_ is known from here on
  } else {
    uv_cond_destroy(&wake_);
    uv_mutex_destroy(&mutex_);
  }
  uv_sem_destroy(&ready_);
  return error;
}

void WorkThread::Push(Job* job) {
  uv_mutex_lock(&mutex_);
  queue_.Push(job);
  uv_cond_signal(&wake_);
  uv_mutex_unlock(&mutex_);
}

void WorkThread::Stop(JobList& rest) {
  if (!running_) return;
  uv_mutex_lock(&mutex_);
  stopping_ = true;
  rest.Append(queue_);
  uv_cond_signal(&wake_);
  uv_mutex_unlock(&mutex_);
  uv_thread_join(&thread_);
  uv_cond_destroy(&wake_);
  uv_mutex_destroy(&mutex_);
  running_ = false;
}

void WorkThread::Main(void* self) {
  WorkThread* thread = static_cast<WorkThread*>(self);
  prctl(PR_SET_NAME, thread->name_);
  // The thread's own id would not do: /proc may be of another pid namespace, and has other numbers then.
  char link[40] = {};
  if (readlink("/proc/thread-self", link, sizeof(link) - 1) > 0) {
    snprintf(thread->namespace_path_, sizeof(thread->namespace_path_), "/proc/%s/ns/net", link);
  }
  uv_sem_post(&thread->ready_);
  thread->Loop();
}

void WorkThread::Loop() {
  for (;;) {
    uv_mutex_lock(&mutex_);
    while (queue_.empty() && !stopping_) uv_cond_wait(&wake_, &mutex_);
    Job* job = queue_.Pop();
    uv_mutex_unlock(&mutex_);
    if (job == nullptr) return;
    job->Run();
    environment_->Complete(job);
  }
}

void EnteringThreads::Push(Job* job) {
  waiting_.Push(job);
  StartNext();
}

void EnteringThreads::StartNext() {
  while (count_ < kLimit && !waiting_.empty()) {
    Job* job = waiting_.Pop();
    job->own_thread_ = true;
    job->environment_ = environment_;
    int error = uv_thread_create(&job->thread_, Main, job);
    if (error == 0) {
      running_[count_++] = job;
    } else {
      job->own_thread_ = false;
      job->Refuse(error);
      environment_->Complete(job);
    }
  }
}

void EnteringThreads::Joined(Job* job) {
  uv_thread_join(&job->thread_);
  job->own_thread_ = false;
  for (int i = 0; i < count_; i++) {
    if (running_[i] == job) {
      running_[i] = running_[--count_];
      break;
    }
  }
  StartNext();
}

void EnteringThreads::Stop(JobList& rest) {
  rest.Append(waiting_);
  while (count_ > 0) {
    Job* job = running_[--count_];
    uv_thread_join(&job->thread_);
    job->own_thread_ = false;
  }
}

void EnteringThreads::Main(void* data) {
  Job* job = static_cast<Job*>(data);
  prctl(PR_SET_NAME, "netkit-enter");
  job->Run();
  job->environment_->Complete(job);
}

}  // namespace netkit
