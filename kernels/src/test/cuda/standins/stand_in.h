// Stand-ins of NVIDIA's libraries, for tests on machines without a GPU. Test doubles: no speed and
// no numerical claim rests on them.
//
// What the stand-ins share. libcuda.so.1 holds it, the others link against that one.
//
// - One lock around every call. There is no second thread: work that is put on a stream lies there
//   until somebody may rely on it having run (synchronisation, or an event that other work waits
//   for). It runs then, on the thread that waits. So a missing synchronisation or event shows as
//   wrong data every time and not once in a thousand runs. schedule(EAGER) and schedule(RANDOM)
//   run work earlier, as a fast device would: for what must not run too early.
// - Every call has a name, is counted and can be told to fail.
// - What a caller did wrong is described by problem(), because a status code says so little.
#pragma once
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace stand_in {

// Status codes of the driver.
enum Status {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    ALREADY_MAPPED = 208,
    NOT_MAPPED = 211,
    ECC_UNCORRECTABLE = 214,
    INVALID_HANDLE = 400,
    ILLEGAL_STATE = 401,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_OUT_OF_RESOURCES = 701,
    CONTEXT_IS_DESTROYED = 709,
    LAUNCH_FAILED = 719,
    COOPERATIVE_LAUNCH_TOO_LARGE = 720,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_UNMATCHED = 903,
    CAPTURE_UNJOINED = 904,
    CAPTURE_ISOLATION = 905,
    CAPTURE_IMPLICIT = 906,
    CAPTURED_EVENT = 907,
    CAPTURE_WRONG_THREAD = 908,
};

// ---- Calls.

enum Trait : unsigned {
    PLAIN = 0,
    ANYWHERE = 1,           // needs no context, and answers after a sticky error too
    RELEASES = 2,           // told to fail, it releases all the same: that is what an error left
                            // over from earlier work looks like
    UNSAFE_IN_CAPTURE = 4,  // fails, and spoils the capture, while this thread captures
    WAITS_FOR_DEVICE = 8,   // the same whoever captures, in whatever mode: a handle that stands for
                            // all streams must not be waited for while one of them is captured
};

// A library's own status for one of the driver.
using Translation = int (*)(int driverStatus);

// Runs `body` as the call `name` unless it is to fail; gives the status.
int call(const char* name, unsigned traits, Translation translation,
         const std::function<int()>& body);

// The same for the driver itself.
int driver_call(const char* name, unsigned traits, const std::function<int()>& body);

// Describes what a caller did wrong, and gives `status` back.
int wrong(int status, const char* format, ...) __attribute__((format(printf, 2, 3)));

// While work runs: it failed, and from now on every call of the context does.
void work_failed(int status, const std::string& why);

// A number below `bound`, drawn from the schedule's seed.
unsigned below(unsigned bound);

// ---- Work.

using Work = std::function<void()>;

// Puts work on a stream (null is the default stream), or into the graph that it captures into.
//
// cost: what the device's clock, which events read, moves on by. Made up, but the same every time.
int enqueue(void* stream, const std::string& name, double costMicroseconds, Work work);

// Whether a handle is a stream of the current context.
bool is_stream(void* stream);
bool is_capturing(void* stream);

int synchronize_stream(void* stream);
int synchronize_everything();
// Runs work so that a touch of memory that is not mapped is an error of the device.
void run_guarded(const std::string& name, const Work& work);
// Runs something that is waiting, as a device might.
void perhaps_run_some();

// ---- Memory.

// Whether [address, address + bytes) can be read and written by the device: inside one live
// allocation, or mapped with access all over. Says so through wrong() if not.
bool accessible(const void* address, size_t bytes, const char* what);
// The same for a pointer whose length nobody knows.
bool points_into_memory(const void* address);
// Text about damaged guard zones, empty if there are none.
std::string damage();

// ---- Between the parts of libcuda.so.1.

void* this_context();  // or null
int sticky();          // what every call answers since an error lost the context, or SUCCESS
void forget_sticky();
bool spoil_capture_of_this_thread();  // true if there is one
bool spoil_all_captures();            // true if there are any
extern std::string leftBehind;        // what was not released when the last context went
void list_memory(std::string& text);
void list_streams(std::string& text);
void list_modules(std::string& text);
void destroy_memory();
void destroy_streams();
void destroy_modules();

extern "C" void abandon_launch();  // of kernels_on_host: a launch was left in the middle

}  // namespace stand_in
