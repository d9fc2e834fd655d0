package io.crescendo.cli.run;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Names for runs that are shown together, so that only those share one that differ by no more than their seed. */
public final class RunLabels {
    private RunLabels() {}

    /**
     * The runs with labels that tell them apart: the schedule of each, where one experiment was run; with several, the
     * experiment's name, short of what all names begin with, and the schedule too if there is more than one of it;
     * folders, where names do not do.
     */
    public static List<RunLog> apart(List<RunLog> runs) {
        Map<String, Set<String>> schedules = new LinkedHashMap<>();
        runs.forEach(run ->
                schedules.computeIfAbsent(name(run), n -> new HashSet<>()).add(run.schedule()));
        if (schedules.size() < 2) {
            return areApart(runs) ? runs : byFolder(runs);
        }
        int common = commonPrefix(schedules.keySet());
        List<RunLog> named = runs.stream()
                .map(run -> run.labelled(name(run).substring(common)
                        + (schedules.getOrDefault(name(run), Set.of()).size() > 1 ? " " + run.schedule() : "")))
                .toList();
        return areApart(named) ? named : byFolder(runs);
    }

    private static String name(RunLog run) {
        return run.head().path("name").asText();
    }

    private static boolean areApart(List<RunLog> runs) {
        Map<String, Set<Long>> seeds = new HashMap<>();
        return runs.stream()
                .allMatch(run ->
                        seeds.computeIfAbsent(run.label(), l -> new HashSet<>()).add(run.seed()));
    }

    /** Where names have a part in common that ends with a hyphen, its length; 0 otherwise. */
    private static int commonPrefix(Collection<String> names) {
        String first = names.iterator().next();
        int common = first.lastIndexOf('-') + 1;
        for (String name : names) {
            while (common > 0 && (name.length() == common || !name.startsWith(first.substring(0, common)))) {
                common = first.lastIndexOf('-', common - 2) + 1;
            }
        }
        return common;
    }

    /** Each by its folder, short of the folders that all lie in and of the seed's own. */
    private static List<RunLog> byFolder(List<RunLog> runs) {
        List<List<String>> folders = runs.stream().map(RunLabels::folder).toList();
        List<String> first = folders.get(0);
        int common = first.size() - 1;
        for (List<String> folder : folders) {
            while (common >= folder.size() || !folder.subList(0, common).equals(first.subList(0, common))) {
                common--;
            }
        }
        List<RunLog> labelled = new ArrayList<>();
        for (int i = 0; i < runs.size(); i++) {
            List<String> folder = folders.get(i);
            labelled.add(runs.get(i).labelled(String.join("/", folder.subList(common, folder.size()))));
        }
        return labelled;
    }

    private static List<String> folder(RunLog run) {
        List<String> names = new ArrayList<>();
        run.folder().toAbsolutePath().normalize().forEach(name -> names.add(name.toString()));
        if (names.size() > 1 && names.get(names.size() - 1).equals("seed-" + run.seed())) {
            names.remove(names.size() - 1);
        }
        return names;
    }
}
