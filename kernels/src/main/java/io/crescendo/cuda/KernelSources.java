package io.crescendo.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The CUDA C++ sources as the jar holds them: {@code kernels.cu} and whatever it includes.
 *
 * @param files texts by the names under which they include each other, {@code kernels.cu} first
 */
record KernelSources(Map<String, String> files) {
    /** The file that includes all others. */
    static final String PROGRAM = "kernels.cu";

    /** Compute capabilities that get machine code in the jar; a device runs what was built for its own major. */
    static final List<String> ARCHITECTURES = List.of("80", "90");

    private static final Pattern INCLUDE = Pattern.compile("(?m)^#include \"([^\"]+)\"");

    /** The sources of this jar. */
    static KernelSources packaged() {
        Map<String, String> files = new LinkedHashMap<>();
        read(PROGRAM, files);
        return new KernelSources(files);
    }

    private static void read(String name, Map<String, String> files) {
        if (files.containsKey(name)) {
            return;
        }
        String text;
        try (InputStream in = KernelSources.class.getResourceAsStream(name)) {
            if (in == null) {
                throw new CudaException("the kernel source " + name + " is missing beside " + KernelSources.class
                        + "; build the module again");
            }
            text = new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new CudaException("the kernel source " + name + " cannot be read", e);
        }
        files.put(name, text);
        for (Matcher include = INCLUDE.matcher(text); include.find(); ) {
            read(include.group(1), files);
        }
    }

    String program() {
        return String.valueOf(files.get(PROGRAM));
    }

    /** The file's name in the jar that holds these sources, and no others, as machine code made with the same flags. */
    String fatBinary() {
        return "kernels-" + digest(String.join(" ", FatBinary.flags())).substring(0, 16) + ".fatbin";
    }

    /** Stands for these sources and for what else decides what becomes of them. */
    String digest(String recipe) {
        StringBuilder everything = new StringBuilder(recipe);
        files.forEach((name, text) -> everything
                .append('\n')
                .append(name)
                .append(' ')
                .append(text.length())
                .append('\n')
                .append(text));
        return sha256(everything.toString().getBytes(StandardCharsets.UTF_8));
    }

    /** 64 hexadecimal digits. */
    static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }
}
