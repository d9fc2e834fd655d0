// Stand-in of libcuda.so.1, first part: calls are counted, fail when told to, and what runs is
// guarded. A test double: no speed and no numerical claim rests on it.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <mutex>

#include "stand_in.h"

namespace stand_in {

static std::recursive_mutex lock;
static std::map<std::string, long> counts;
static std::string problemText;
static bool loud = true;

// The failure that a test ordered.
struct Order {
    std::string name;  // "*": any call
    long remaining = 0;
    int status = 0;
};
static Order order;
static long failures = 0;

static int stickyStatus = SUCCESS;

int sticky() { return stickyStatus; }

// After these the context is lost: every later call answers the same.
static bool is_sticky(int status) {
    return status == ILLEGAL_ADDRESS || status == LAUNCH_FAILED || status == ECC_UNCORRECTABLE ||
           (status >= 710 && status <= 718 && status != 712 && status != 713);
}

// Versions of a function in one name: cuMemAlloc for cuMemAlloc_v2.
static std::string plain(const std::string& name) {
    size_t end = name.rfind("_v");
    return end != std::string::npos && end + 3 == name.size() ? name.substr(0, end) : name;
}

// Whether this call, or this piece of work, is the one that is to fail.
static bool ordered(const std::string& name, bool mayBeAny) {
    counts[name]++;
    if (order.remaining == 0 || !(order.name == name || (mayBeAny && order.name == "*")))
        return false;
    if (--order.remaining > 0) return false;
    failures++;
    return true;
}

int wrong(int status, const char* format, ...) {
    char text[1000];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (problemText.empty()) problemText = text;
    if (loud) fprintf(stderr, "stand-in: %s (status %d)\n", text, status);
    return status;
}

void work_failed(int status, const std::string& why) {
    wrong(status, "%s", why.c_str());
    if (stickyStatus == SUCCESS) stickyStatus = status;
}

static int same(int status) { return status; }

int driver_call(const char* name, unsigned traits, const std::function<int()>& body) {
    return call(name, traits, same, body);
}

static bool tracing() {
    static bool on = getenv("CRESCENDO_STAND_IN_TRACE") != nullptr;
    return on;
}

int call(const char* name, unsigned traits, Translation translation,
         const std::function<int()>& body) {
    std::lock_guard<std::recursive_mutex> guard(lock);
    std::string known = plain(name);
    if (tracing()) fprintf(stderr, "stand-in call: %s\n", name);
    if (!(traits & ANYWHERE) && this_context() == nullptr) {
        counts[known]++;
        return translation(
            wrong(INVALID_CONTEXT, "%s: no context is current on this thread", name));
    }
    if ((traits & WAITS_FOR_DEVICE) && spoil_all_captures())
        return translation(
            wrong(CAPTURE_UNSUPPORTED, "%s waits for the device while a stream is captured", name));
    if ((traits & UNSAFE_IN_CAPTURE) && spoil_capture_of_this_thread())
        return translation(
            wrong(CAPTURE_UNSUPPORTED, "%s is not allowed while a stream is captured", name));
    if (ordered(known, true)) {
        int status = order.status;
        if (is_sticky(status) && stickyStatus == SUCCESS && this_context() != nullptr)
            stickyStatus = status;
        if (traits & RELEASES) body();
        return translation(status);
    }
    if (!(traits & ANYWHERE)) {
        if (stickyStatus != SUCCESS) {
            int status = stickyStatus;
            if (traits & RELEASES) body();
            return translation(status);
        }
        perhaps_run_some();
    }
    int status = body();
    // Work that ran during the call may have failed; the call tells.
    if (status == 0 && !(traits & ANYWHERE) && stickyStatus != SUCCESS)
        return translation(stickyStatus);
    return status;
}

// ---- Running work: a touch of memory that is not mapped ends the work, not the process.

static volatile bool running = false;
static pthread_t runner;
static void* faultAddress = nullptr;
static sigjmp_buf recovery;
static struct sigaction before[2];
static const int SIGNALS[] = {SIGSEGV, SIGBUS};

static void on_fault(int number, siginfo_t* information, void* context) {
    if (running && pthread_equal(runner, pthread_self())) {
        faultAddress = information->si_addr;
        siglongjmp(recovery, 1);
    }
    // Another thread's: the virtual machine uses these signals itself.
    struct sigaction& old = before[number == SIGSEGV ? 0 : 1];
    if (old.sa_flags & SA_SIGINFO) {
        old.sa_sigaction(number, information, context);
    } else if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) {
        old.sa_handler(number);
    } else {
        signal(number, SIG_DFL);
        raise(number);
    }
}

void run_guarded(const std::string& name, const Work& work) {
    if (stickyStatus != SUCCESS) return;  // what was queued behind an error never runs
    if (ordered("run:" + name, false)) {
        work_failed(order.status, name + " failed because it was told to");
        return;
    }
    struct sigaction ours;
    memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = on_fault;
    // SA_NODEFER: the jump out of the handler does not restore the mask.
    ours.sa_flags = SA_SIGINFO | SA_NODEFER;
    for (int i = 0; i < 2; i++) sigaction(SIGNALS[i], &ours, &before[i]);
    if (sigsetjmp(recovery, 0) == 0) {
        runner = pthread_self();
        running = true;
        work();
        running = false;
    } else {
        running = false;
        abandon_launch();
        char text[100];
        snprintf(text, sizeof text, " touched %p, which is not mapped", faultAddress);
        work_failed(ILLEGAL_ADDRESS, name + text);
    }
    for (int i = 0; i < 2; i++) sigaction(SIGNALS[i], &before[i], nullptr);
    std::string damaged = damage();
    if (!damaged.empty()) work_failed(ILLEGAL_ADDRESS, name + " wrote outside: " + damaged);
}

void forget_sticky() { stickyStatus = SUCCESS; }

}  // namespace stand_in

// ---- What tests call.

using namespace stand_in;

// From now on, call number `number` (1 is the next) of this name answers `status`. "*" is any call,
// "run:" and a name is a piece of work while it runs, a kernel for example.
extern "C" void standin_fail(const char* name, long number, int status) {
    std::lock_guard<std::recursive_mutex> guard(lock);
    order.name = strncmp(name, "run:", 4) == 0 ? name : plain(name);
    order.remaining = number;
    order.status = status;
    failures = 0;
}

// How many of the ordered failures have happened: 0 or 1.
extern "C" long standin_failures() { return failures; }

// How often something was called since the last reset; "*" stands for every call of a library.
extern "C" long standin_calls(const char* name) {
    std::lock_guard<std::recursive_mutex> guard(lock);
    if (strcmp(name, "*") == 0) {
        long all = 0;
        for (auto& entry : counts)
            if (strncmp(entry.first.c_str(), "run:", 4) != 0) all += entry.second;
        return all;
    }
    auto found = counts.find(strncmp(name, "run:", 4) == 0 ? name : plain(name));
    return found == counts.end() ? 0 : found->second;
}

// The first thing that a caller did wrong since the last reset, or an empty text.
extern "C" const char* standin_problem() { return problemText.c_str(); }

// Whether wrong calls are also written to stderr; off in tests that make them on purpose.
extern "C" void standin_loud(int on) { loud = on != 0; }

// Everything that was not released: now, and when a context was given up.
extern "C" const char* standin_leaks() {
    std::lock_guard<std::recursive_mutex> guard(lock);
    static std::string text;
    text = leftBehind;
    list_memory(text);
    list_streams(text);
    list_modules(text);
    return text.c_str();
}

// Forgets orders, counts, problems and what was left behind.
extern "C" void standin_reset() {
    std::lock_guard<std::recursive_mutex> guard(lock);
    order = Order();
    failures = 0;
    counts.clear();
    problemText.clear();
    leftBehind.clear();
    loud = true;
}
