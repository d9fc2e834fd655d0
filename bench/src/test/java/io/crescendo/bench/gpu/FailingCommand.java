package io.crescendo.bench.gpu;

import com.sun.jna.NativeLibrary;
import io.crescendo.cli.Main;
import java.nio.file.Path;
import java.util.Arrays;

/** A process of its own: orders something of the stand-in for the driver, then executes the command line. */
final class FailingCommand {
    private FailingCommand() {}

    /** First the folder of the stand-ins; then what to order: {@code CALL NUMBER STATUS}. */
    public static void main(String[] arguments) {
        NativeLibrary driver =
                NativeLibrary.getInstance(Path.of(arguments[0], "libcuda.so.1").toString());
        String[] order = arguments[1].split(" ", -1);
        switch (order[0]) {
            case "attribute" ->
                driver.getFunction("standin_attribute")
                        .invokeVoid(new Object[] {Integer.valueOf(order[1]), Integer.valueOf(order[2])});
            default ->
                driver.getFunction("standin_fail")
                        .invokeVoid(new Object[] {order[0], Long.valueOf(order[1]), Integer.valueOf(order[2])});
        }
        System.exit(Main.commandLine().execute(Arrays.copyOfRange(arguments, 2, arguments.length)));
    }
}
