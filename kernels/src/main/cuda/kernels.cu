// Every kernel, one program: what nvcc, NVRTC and the tests' compiler for the host are given. A file
// that is not listed here is in none of them.
#include "bias.cu"
#include "channels.cu"
#include "convolution.cu"
#include "cross_entropy.cu"
#include "dropout.cu"
#include "gather.cu"
#include "ghost_norm.cu"
#include "gradient_sum.cu"
#include "metrics.cu"
#include "pointwise.cu"
#include "pooling.cu"
#include "update.cu"
