#!/usr/bin/env bash
# Prompt to video, from nothing: what `make demo` runs, of public commands alone.
#   experiments/quickstart/demo.sh pixel|latent OUTPUT_FOLDER
set -euo pipefail
way=${1:-latent} out=${2:-runs/demo}
here=experiments/quickstart

case $way in pixel | latent) ;; *) echo "demo.sh: '$way' is no demo; choose pixel or latent" >&2; exit 2 ;; esac

if [ -e "$out" ]; then  # an earlier demo is kept
  kept="$out-$(date +%Y%m%d-%H%M%S)"
  mv "$out" "$kept"
  echo "The demo that was in $out is now in $kept."
fi

echo "Timing a few steps ..."
python "$here/probe.py" "$way" || echo "The steps could not be timed; the demo goes on."

runs=()
config=(-c "$here/$way.yaml" --trainer.default_root_dir "$out/diffusion")
if [ "$way" = latent ]; then
  echo; echo "== Training a causal video autoencoder"
  vidiff fit -c "$here/autoencoder.yaml" --trainer.default_root_dir "$out/autoencoder"
  config+=(--model.autoencoder.checkpoint "$out/autoencoder/checkpoints/last.ckpt")
  runs+=(--run "$out/autoencoder")
fi

echo; echo "== Training a diffusion transformer on its $([ "$way" = latent ] && echo latents || echo pixels)"
vidiff fit "${config[@]}"
runs+=(--run "$out/diffusion")

samples=()
for group in seen unseen; do
  echo; echo "== Sampling prompts $([ $group = seen ] && echo seen || echo never seen) in training"
  vidiff sample "${config[@]}" --ckpt_path "$out/diffusion/checkpoints/last.ckpt" \
    --prompts "$here/prompts_$group.txt" --output "$out/$group" --seed 1
  samples+=("$group=$out/$group")
done

echo; echo "== Measuring how many prompts the videos follow"
vidiff evaluate --generated "${samples[@]}" --metrics prompt_accuracy --protocol whole \
  -c "$out/diffusion/config.yaml" --output "$out/evaluation"
vidiff report "${runs[@]}" --evaluation "$out/evaluation/report.json" \
  "${samples[@]/#/--samples=}" --title "Prompt to video: the $way demo" --output "$out"
echo; echo "Open $out/index.html in a browser."
