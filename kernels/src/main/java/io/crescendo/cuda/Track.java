package io.crescendo.cuda;

import jcuda.driver.CUstream;
import jcuda.jcublas.cublasHandle;

/**
 * A stream that programs run on, with what its work uses and no other stream's may at the same time.
 *
 * @param stream where kernels and copies go
 * @param cudnn bound to the stream
 * @param cublas bound to the stream, with a fixed workspace, so that recording allocates nothing. Do not set either.
 * @param tickets address of {@link Addresses#TICKETS} zeroed unsigned numbers
 */
record Track(CUstream stream, CudnnHandle cudnn, cublasHandle cublas, long tickets) {}
