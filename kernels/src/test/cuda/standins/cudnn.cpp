// Stand-in of libcudnn.so.9. A test double.
#include "stand_in.h"
extern "C" size_t cudnnGetVersion() { return 90501; }
extern "C" const char* standin_cudnn_leaks() { return ""; }
