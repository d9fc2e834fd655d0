package io.crescendo.cuda;

import static jcuda.driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED;
import static jcuda.driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
import static jcuda.driver.JCudaDriver.cuGraphDestroy;
import static jcuda.driver.JCudaDriver.cuGraphExecDestroy;
import static jcuda.driver.JCudaDriver.cuGraphInstantiate;
import static jcuda.driver.JCudaDriver.cuGraphLaunch;
import static jcuda.driver.JCudaDriver.cuGraphUpload;
import static jcuda.driver.JCudaDriver.cuStreamBeginCapture;
import static jcuda.driver.JCudaDriver.cuStreamEndCapture;

import java.util.Arrays;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUstream;

/**
 * What was put on a stream, as one graph that the driver launches as a whole.
 *
 * <p>While a stream is recorded nothing on it runs, and the recording thread may neither wait for the device nor,
 * except for {@link #ofFirst}, allocate its memory; other threads may. But whoever waits for the whole device spoils
 * every recording under way: so may a library that sets itself up, on this thread or another one, and an embedder's own
 * code. A recording that is spoilt is made again.
 */
final class Recording implements AutoCloseable {
    private static final String SPOILT = "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED";

    /** A recording that is spoilt so often is not spoilt by chance. */
    private static final int MOST_TIMES = 3;

    private final CUgraphExec executable;

    private Recording(CUgraphExec executable) {
        this.executable = executable;
    }

    /** Records what {@code work} puts on a stream. */
    static Recording of(CUstream stream, Runnable work) {
        return of(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, work);
    }

    /** The same for work that a library does for the first time, which may allocate something of its own. */
    static Recording ofFirst(CUstream stream, Runnable work) {
        return of(stream, CU_STREAM_CAPTURE_MODE_RELAXED, work);
    }

    private static Recording of(CUstream stream, int mode, Runnable work) {
        for (int times = 1; ; times++) {
            try {
                return once(stream, mode, work);
            } catch (RuntimeException e) {
                if (times == MOST_TIMES || !isSpoilt(e)) {
                    throw e;
                }
            }
        }
    }

    private static boolean isSpoilt(Throwable failure) {
        for (Throwable at = failure; at != null; at = at.getCause()) {
            if (tells(at) || Arrays.stream(at.getSuppressed()).anyMatch(Recording::tells)) {
                return true;
            }
        }
        return false;
    }

    private static boolean tells(Throwable thrown) {
        return SPOILT.equals(thrown.getMessage());
    }

    private static Recording once(CUstream stream, int mode, Runnable work) {
        CUgraph graph = new CUgraph();
        cuStreamBeginCapture(stream, mode);
        try {
            work.run();
        } catch (RuntimeException e) {
            abandon(stream, graph, e);
            throw e;
        }
        cuStreamEndCapture(stream, graph);
        return instantiated(graph);
    }

    /** The graph itself is not needed after this, whether it succeeds or not. */
    private static Recording instantiated(CUgraph graph) {
        CudaScope made = new CudaScope();
        CUgraphExec executable = new CUgraphExec();
        try {
            made.onClose(() -> cuGraphDestroy(graph));
            cuGraphInstantiate(executable, graph, 0);
        } catch (jcuda.CudaException e) {
            throw made.closeAfter(e);
        }
        try {
            made.close();
            return new Recording(executable);
        } catch (CudaException e) {
            made.onClose(() -> cuGraphExecDestroy(executable));
            throw made.closeAfter(e);
        }
    }

    /** The stream must not stay in a recording that nobody ends. */
    private static void abandon(CUstream stream, CUgraph graph, RuntimeException failure) {
        try {
            cuStreamEndCapture(stream, graph); // fails if the failure has spoilt the recording, and gives no graph then
            cuGraphDestroy(graph);
        } catch (jcuda.CudaException e) {
            failure.addSuppressed(e);
        }
    }

    /** Brings to the device ahead what the first launch would bring. */
    void upload(CUstream stream) {
        cuGraphUpload(executable, stream);
    }

    /** Runs everything, in order, behind what is on the stream. */
    void launch(CUstream stream) {
        cuGraphLaunch(executable, stream);
    }

    @Override
    public void close() {
        cuGraphExecDestroy(executable);
    }
}
